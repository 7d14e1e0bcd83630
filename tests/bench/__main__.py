"""Run benchmarks: ``make bench``, ``make bench PARTS="endpoint delay"``, ``make bench PARTS=update ARGS="--rounds 3"``."""

import asyncio
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import msgspec

from bench.growth import PIECES
from serving.settings import ModelSettings

MODEL = ModelSettings().name


class Part(msgspec.Struct, frozen=True):
    """A benchmark: its line of help, how to run it with ARGS, whether it takes ARGS, whether it runs by default."""

    help: str
    run: Callable[[str, list[str]], int]
    takes_arguments: bool = False
    default: bool = False


def say(line: str) -> None:
    print(line, flush=True)


def in_rounds(name: str, _: list[str]) -> int:
    for figure in asyncio.run(import_module(f"bench.{name}").measure()):
        say(figure.line())
    return 0


def on_a_stack(name: str, _: list[str]) -> int:
    """Run ``delay`` or ``generation`` on a stack with the default model."""
    module = import_module(f"bench.{name}")
    with import_module("support.stack").running() as stack:
        if name == "delay":
            ports = json.loads((stack.home / "ports.json").read_text())
            say(asyncio.run(module.measure(stack, f"127.0.0.1:{ports['broker']}")).line())
        else:
            files = import_module("serving.engine.fetch_model").ensure(MODEL, None, "auto", lambda *_: None)
            for figure in asyncio.run(module.measure(stack, MODEL, Path(files.path))):
                say(figure.line())
    return 0


def program(name: str, arguments: list[str]) -> int:
    return subprocess.run([sys.executable, "-m", f"bench.{name}", *arguments], check=False).returncode


def on_a_broker(name: str, arguments: list[str]) -> int:
    """Run a program whose first argument is a broker: the one in `arguments`, else a new one."""
    if arguments:
        return program(name, arguments)
    broker = import_module("support.running_broker")
    kind = "apache" if import_module("weir.local.broker.kafka_jars").apache_available() else "embedded"
    with tempfile.TemporaryDirectory() as folder, broker.start_broker(kind, Path(folder) / "broker") as started:
        return program(name, [started.bootstrap])


def printed(name: str, _: list[str]) -> int:
    import_module(f"bench.{name}").run(say)
    return 0


def growth(name: str, _: list[str]) -> int:
    pieces = [name.removeprefix("growth.")] if "." in name else list(PIECES)
    import_module("bench.growth.table").run(pieces, say)
    return 0


PARTS = {
    "endpoint": Part("requests/s and p99 with capture on and off; echo engine", in_rounds, default=True),
    "outage": Part("p50 and p99 with the broker down and up; echo engine", in_rounds, default=True),
    "generation": Part("tokens/s of 8 concurrent requests, against 1 and transformers serve", on_a_stack, default=True),
    "delay": Part("seconds from the end of a response to its alert, at 20 events/s", on_a_stack, default=True),
    "score_rate": Part("events/s of score, against a bare consumer; ARGS: HOST:PORT [EVENTS]", on_a_broker, True, True),
    "replay_rate": Part("events/s of a replay, against its log; ARGS: HOST:PORT [EVENTS]", on_a_broker, True, True),
    "engines": Part("tokens/s of the engines in one process", program, True),
    "runtimes": Part("the encoder on torch, ONNX Runtime and OpenVINO; ARGS: --rivals DIR", program, True),
    "personal": Part("the PII detector, against Presidio; ARGS: --data DIR", program, True),
    "update": Part("CPU time of an event in the drift detector", program, True),
    "backpressure": Part("peak memory of each stage with a backlog", printed),
    "growth": Part("every growth.* below; half an hour", growth),
} | {f"growth.{piece}": Part(text, growth) for piece, text in PIECES.items()}


def listing() -> str:
    lines = [f"  {name:<18}{'*' if part.default else ' '} {part.help}" for name, part in PARTS.items()]
    return "\n".join(["parts (* runs by default; ARGS go to one part):", *lines])


def main(given: list[str]) -> int:
    names = given[: given.index("--")] if "--" in given else given
    arguments = given[len(names) + 1 :]
    if names == ["help"]:
        say(listing())
        return 0
    if unknown := [name for name in names if name not in PARTS]:
        say(f"unknown part {', '.join(unknown)}\n{listing()}")
        return 2
    if arguments and not (len(names) == 1 and PARTS[names[0]].takes_arguments):
        takes = ", ".join(name for name, part in PARTS.items() if part.takes_arguments)
        say(f"ARGS is {' '.join(arguments)!r}; it needs PARTS with exactly one of {takes}")
        return 2
    status = 0
    for name in names or [name for name, part in PARTS.items() if part.default]:
        say(f"# {name}: {PARTS[name].help}")
        status = max(status, PARTS[name].run(name, arguments))
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
