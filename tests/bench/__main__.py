"""Run every benchmark, or those named: ``endpoint``, ``generation``, ``delay``, ``stream``, ``growth``, ``backpressure``.

``growth`` takes half an hour; its pieces (``growth.workers``, …) can be named one by one, and neither it nor ``backpressure`` runs unless
it is named.
"""

import asyncio
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from support.stack import running

from bench import backpressure, delay, endpoint, generation, growth
from serving.engine.weights import ensure
from weir.broker.jars import apache_possible
from weir.broker.local import start_broker

MODEL = "smollm2-135m-instruct"
PARTS = ("endpoint", "generation", "delay", "stream")
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


def main(parts: list[str]) -> int:
    if unknown := [part for part in parts if part not in KNOWN]:
        say(f"unknown: {', '.join(unknown)}; known: {', '.join(KNOWN)}")
        return 2
    chosen = parts or list(PARTS)
    if "endpoint" in chosen:
        say("# endpoint: two stacks with the echo engine, one captures, one does not; five rounds in turn of 8 s")
        for figure in asyncio.run(endpoint.measure()):
            say(figure.line())
    if {"generation", "delay"} & set(chosen):
        asyncio.run(on_a_stack(chosen))
    if "backpressure" in chosen:
        backpressure.run(say)
    if pieces := [piece for piece in growth.PIECES if {"growth", f"growth.{piece}"} & set(chosen)]:
        growth.run(pieces, say)
    if "stream" in chosen:
        say("# stream: score on a broker against a bare aiokafka loop with the same detectors")
        return on_a_broker()
    return 0


def on_a_broker() -> int:
    kind = "apache" if apache_possible() else "embedded"
    with tempfile.TemporaryDirectory() as folder, start_broker(kind, Path(folder) / "broker") as broker:
        return subprocess.run([sys.executable, "-m", "stream.score.bench", broker.bootstrap], check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
