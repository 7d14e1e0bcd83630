"""Run every benchmark, or those named: ``endpoint``, ``outage``, ``generation``, ``delay``, ``stream``, ``replay``; ``growth``, ``backpressure``.

``growth`` takes half an hour; its pieces (``growth.workers``, …) can be named one by one, and neither it nor ``backpressure`` runs unless
it is named.
"""

import asyncio
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from support.stack import running

from bench import backpressure, delay, endpoint, generation, growth, outage
from serving.engine.fetch_model import ensure
from weir.local.broker.kafka_jars import apache_available
from weir.local.broker.running_broker import start_broker

MODEL = "smollm2-135m-instruct"
PARTS = ("endpoint", "outage", "generation", "delay", "stream", "replay")
GROWTH = tuple(f"growth.{piece}" for piece in growth.PIECES)
KNOWN = (*PARTS, "backpressure", "growth", *GROWTH)


def say(line: str) -> None:
    print(line, flush=True)


async def on_a_stack(parts: list[str]) -> None:
    with running() as stack:
        bootstrap = f"127.0.0.1:{json.loads((stack.home / 'ports.json').read_text())['broker']}"
        if "delay" in parts:
            say("# delay: 20 events/s for 15 s through spool, shipper, Kafka, score and watch")
            say((await delay.measure(stack, bootstrap)).line())
        if "generation" in parts:
            say(
                "# generation: a stack with the default model; eight requests against one, and against transformers serve"
            )
            for figure in await generation.measure(
                stack, MODEL, Path(ensure(MODEL, None, "auto", lambda *_: None).path)
            ):
                say(figure.line())


def of_an_endpoint() -> None:
    say("# endpoint: two stacks with the echo engine, one captures, one does not; five rounds in turn of 8 s")
    for figure in asyncio.run(endpoint.measure()):
        say(figure.line())


def of_an_outage() -> None:
    say("# outage: a stack with the echo engine, its broker killed for every other round of 12 s, 25 requests/s")
    for figure in asyncio.run(outage.measure()):
        say(figure.line())


def main(parts: list[str]) -> int:
    if unknown := [part for part in parts if part not in KNOWN]:
        say(f"unknown: {', '.join(unknown)}; known: {', '.join(KNOWN)}")
        return 2
    chosen = parts or list(PARTS)
    pieces = [piece for piece in growth.PIECES if {"growth", f"growth.{piece}"} & set(chosen)]
    runs: dict[str, Callable[[], int | None]] = {
        "endpoint": of_an_endpoint,
        "outage": of_an_outage,
        "generation": lambda: asyncio.run(on_a_stack(chosen)),
        "backpressure": lambda: backpressure.run(say),
        "growth": lambda: growth.run(pieces, say),
        "stream": lambda: on_a_broker(
            "bench.score_rate", "# stream: score on a broker against a bare aiokafka loop with the same detectors"
        ),
        "replay": lambda: on_a_broker(
            "bench.replay_rate", "# replay: each detector over a log recorded at a tenth of score's capacity"
        ),
    }
    named = {"generation" if part == "delay" else part.split(".")[0] for part in chosen}
    return max(int(run() or 0) for part, run in runs.items() if part in named)


def on_a_broker(module: str, title: str) -> int:
    say(title)
    kind = "apache" if apache_available() else "embedded"
    with tempfile.TemporaryDirectory() as folder, start_broker(kind, Path(folder) / "broker") as broker:
        return subprocess.run([sys.executable, "-m", module, broker.bootstrap], check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
