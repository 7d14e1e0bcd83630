"""Run every benchmark, or those named: ``endpoint``, ``outage``, ``generation``, ``delay``, ``stream``, ``replay``."""

import asyncio
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from support.stack import running

from bench import delay, endpoint, generation, outage
from serving.engine.weights import ensure
from weir.broker.jars import apache_possible
from weir.broker.local import start_broker

MODEL = "smollm2-135m-instruct"
PARTS = ("endpoint", "outage", "generation", "delay", "stream", "replay")


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


def main(parts: list[str]) -> int:
    if unknown := [part for part in parts if part not in PARTS]:
        say(f"unknown: {', '.join(unknown)}; known: {', '.join(PARTS)}")
        return 2
    chosen = parts or list(PARTS)
    if "endpoint" in chosen:
        say("# endpoint: two stacks with the echo engine, one captures, one does not; five rounds in turn of 8 s")
        for figure in asyncio.run(endpoint.measure()):
            say(figure.line())
    if "outage" in chosen:
        say("# outage: a stack with the echo engine, its broker killed for every other round of 12 s, 25 requests/s")
        for figure in asyncio.run(outage.measure()):
            say(figure.line())
    if {"generation", "delay"} & set(chosen):
        asyncio.run(on_a_stack(chosen))
    if "stream" in chosen:
        say("# stream: score on a broker against a bare aiokafka loop with the same detectors")
        if status := on_a_broker("stream.score.bench"):
            return status
    if "replay" in chosen:
        say("# replay: each detector over a log that was recorded at a tenth of score's capacity")
        return on_a_broker("stream.replay.bench")
    return 0


def on_a_broker(module: str) -> int:
    kind = "apache" if apache_possible() else "embedded"
    with tempfile.TemporaryDirectory() as folder, start_broker(kind, Path(folder) / "broker") as broker:
        return subprocess.run([sys.executable, "-m", module, broker.bootstrap], check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
