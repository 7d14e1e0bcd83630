"""Run benchmarks: ``make bench``, ``make bench PARTS="endpoint delay"``, ``make bench PARTS=score_rate ARGS="HOST:PORT"``."""

import asyncio
import subprocess
import sys
from importlib import import_module

PARTS = {
    "endpoint": "requests/s, p99 and CPU with capture on, with capture off, and of LiteLLM's proxy; echo engine",
    "capture_cost": "CPU that capture adds to the gateway, by cause; no model (endpoint prints it too)",
    "outage": "p50 and p99 with the broker down and up; echo engine",
    "generation": "tokens/s of 8 concurrent requests, relative to 1",
    "batch": "tokens/s of the engine by number of concurrent requests, and of two replicas relative to one",
    "consistency": "AUROC of the detector consistency for wrong answers of the default model; takes ten minutes",
    "guard": "CPU time per token with the guard, relative to without; no model",
    "delay": "seconds from the end of a response to its alert, at 20 events/s",
    "score": "CPU time of score per event, by cause; ARGS: DATA_DIR [float32] [bfloat16] [int8]",
    "score_rate": "events/s of score, relative to a bare consumer; ARGS: [HOST:PORT [EVENTS]]",
    "replay_rate": "events/s of a replay, relative to the arrival rate of its log; ARGS: [HOST:PORT [EVENTS]]",
    "exactness": "greedy answers of openvino, compared with transformers in float32; ARGS: --prompts N",
    "backpressure": "peak memory of each stage with a backlog",
    "drift.run-length": "run lengths at N = 1,000: exchangeable, conversations, daily cycles; takes a quarter of an hour; ARGS: --runs 1000",
    "drift.run-length-10000": "the same at N = 10,000; takes two hours; ARGS: --runs 1000",
    "drift.clients": "false alarms and delays on real texts, by the ids that clients send; ARGS: --data DIR",
    "drift.delays": "delays after three changes of clusters, compared with windowed MMD and river; ARGS: --data DIR",
    "growth": "all parts growth.*; takes half an hour",
    "growth.workers": "events/s of score by number of workers and partitions, with a detector of 5 ms per event",
    "growth.history": "events/s of score by number of retained events",
    "growth.ledger": "time of the ledger per event and per query, by number of retained events",
    "growth.recovery": "start time of a watch worker with the state of many tenants in its changelog",
}
DEFAULT = ("endpoint", "outage", "generation", "guard", "delay", "score_rate", "replay_rate")
TAKES_ARGUMENTS = (
    "score",
    "score_rate",
    "replay_rate",
    "exactness",
    *(name for name in PARTS if name.startswith("drift.")),
)


def run(name: str, arguments: list[str]) -> int:
    print(f"# {name}: {PARTS[name]}", flush=True)
    if name == "generation":
        return generation()
    module, _, piece = name.partition(".")
    command = [sys.executable, "-m", f"bench.{module}", *([piece] if piece else []), *arguments]
    return subprocess.run(command, check=False).returncode


def generation() -> int:
    """Measure tokens/s on a stack with the default model."""
    module, model = import_module("bench.generation"), import_module("serving.settings").ModelSettings().name
    with import_module("support.stack").running() as stack:
        for figure in asyncio.run(module.measure(stack, model)):
            print(figure.line(), flush=True)
    return 0


def listing() -> str:
    lines = [f"  {name:<22}{'*' if name in DEFAULT else ' '} {text}" for name, text in PARTS.items()]
    return "\n".join(["parts (* runs by default; ARGS go to one part):", *lines])


def main(given: list[str]) -> int:
    names = given[: given.index("--")] if "--" in given else given
    arguments = given[len(names) + 1 :]
    if names == ["help"]:
        print(listing())
        return 0
    if unknown := [name for name in names if name not in PARTS]:
        print(f"unknown part {', '.join(unknown)}\n{listing()}")
        return 2
    if arguments and not (len(names) == 1 and names[0] in TAKES_ARGUMENTS):
        takes = ", ".join(TAKES_ARGUMENTS)
        print(f"ARGS is {' '.join(arguments)!r}; it needs PARTS with exactly one of {takes}")
        return 2
    return max(run(name, arguments) for name in names or DEFAULT)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
