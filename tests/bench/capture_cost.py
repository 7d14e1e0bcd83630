"""CPU time that capture adds to a request in the gateway, by cause. The gateway runs in this process, without HTTP, Ray and a model.

The two variants alternate. The time of a cause is the time in its functions, measured for one function at a time, because a profiler
makes all calls slower. All figures are CPU time of one thread; other work on the machine increases them, but not their ratios.
"""

import asyncio
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest.mock import patch

import msgspec
from prometheus_client import CollectorRegistry
from support.gateway import KEY, make_gateway, write_keys

from bench.rounds import Figure, in_turn
from serving import inference_records
from serving.api_keys import keys_path
from serving.backend import ModelInfo
from serving.capture import event_encoding, segment_writer
from serving.capture.metrics import AppendSeconds
from serving.capture.recorder import Recorder
from serving.gateway import inference
from serving.gateway.gateway import Gateway
from serving.inference_records import ExpectedVerdicts
from serving.openai_api.accumulator import Accumulator
from serving.settings import CaptureSettings
from stream.settings import DetectorSettings
from stream.telemetry import TraceSettings, tracer_provider

ROUNDS, BLOCKS, REQUESTS = 7, 10, 40
#: Requests/s for the figure of the keeper thread: the rate of a gateway on two busy cores.
RATE = 400
KEEPER_SECONDS = 2
TEXT = "one two three four five six seven eight"
BODY = json.dumps({"model": "echo", "messages": [{"role": "user", "content": TEXT}], "max_tokens": 8}).encode()
SCOPE = {
    "type": "http",
    "method": "POST",
    "path": "/v1/chat/completions",
    "headers": [(b"authorization", f"Bearer {KEY}".encode()), (b"content-length", str(len(BODY)).encode())],
}
Place = tuple[Any, str]
_BUILD: tuple[Place, ...] = (
    (inference, "request_record"),
    (inference, "response_record"),
    (Accumulator, "recorded"),
)
_ENCODE: tuple[Place, ...] = tuple((event_encoding, name) for name in ("opened", "request", "end"))
#: Causes and their functions; a cause that begins with "-" is a part of the cause before it.
CAUSES: dict[str, tuple[Place, ...]] = {
    "build the records": _BUILD,
    "- expected verdicts": ((inference_records, "owed_detectors"),),
    "trace context as text": ((inference, "traceparent_of"), (inference, "tracestate_of")),
    "encode the frames: key, headers, JSON, msgpack, CRC": _ENCODE,
    "- JSON": ((event_encoding, "encode_data"),),
    "- msgpack, CRC": ((event_encoding, "encode_frame"),),
    "write()": ((segment_writer.os, "write"),),
    "metrics": ((AppendSeconds, "observe"),),
}


class Echo:
    """A backend that does no work and returns one chunk."""

    async def describe(self) -> ModelInfo:
        return ModelInfo(engine="echo", version="echo", context_length=8192)

    async def generate(self, request):
        del request
        choice = {"index": 0, "delta": {"role": "assistant", "content": TEXT}, "finish_reason": "stop"}
        yield {"choices": [choice], "usage": {"prompt_tokens": 8, "completion_tokens": 8}}

    def capacity(self) -> int:
        return 64


class Cause(msgspec.Struct, frozen=True):
    """The CPU time of a cause, in microseconds per request."""

    name: str
    microseconds: float

    def line(self) -> str:
        return f"  {self.name:56} {self.microseconds:10.1f} us/req"


async def ask(gateway: Gateway, requests: int) -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": BODY, "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        assert message.get("status", 200) == 200

    for _ in range(requests):
        await gateway(SCOPE, receive, send)


async def cpu(gateway: Gateway) -> dict[str, float]:
    """Return the CPU time of this thread per request in microseconds: the median over blocks."""
    found = []
    for _ in range(BLOCKS):
        began = time.thread_time()
        await ask(gateway, REQUESTS)
        found.append((time.thread_time() - began) / REQUESTS * 1e6)
    return {"cpu": statistics.median(found)}


async def spent_in(gateway: Gateway, owner: Any, name: str) -> float:
    """Return the mean CPU time that a request spends in the function `name` of `owner`, in microseconds."""
    real: Callable[..., Any] = getattr(owner, name)
    spent, empty = [0], [0]

    def timed(*arguments: Any, **named: Any) -> Any:
        began = time.thread_time_ns()
        empty[0] -= began - time.thread_time_ns()  # the time of the measurement itself
        began = time.thread_time_ns()
        result = real(*arguments, **named)
        spent[0] += time.thread_time_ns() - began
        return result

    with patch.object(owner, name, timed):
        await ask(gateway, BLOCKS * REQUESTS)
    return (spent[0] - empty[0]) / (BLOCKS * REQUESTS) / 1000


async def cost_of(gateway: Gateway, places: tuple[Place, ...]) -> float:
    """Return the CPU time that a request spends in all functions `places`, in microseconds: the median over rounds."""
    return statistics.median([sum([await spent_in(gateway, *place) for place in places]) for _ in range(ROUNDS)])


async def keeper(gateway: Gateway) -> float:
    """Return the CPU time of all other threads at RATE requests/s, in microseconds per request."""
    began = time.process_time() - time.thread_time()
    for _ in range(KEEPER_SECONDS * 20):
        await ask(gateway, RATE // 20)
        await asyncio.sleep(0.05)
    return (time.process_time() - time.thread_time() - began) / (KEEPER_SECONDS * RATE) * 1e6


async def measure() -> list[Figure | Cause]:
    detectors = DetectorSettings()
    expected = ExpectedVerdicts(
        input=detectors.input, output=detectors.output, context_characters=detectors.context_characters
    )
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        write_keys(keys_path(home), ("k_1", "acme", KEY, None))
        recorder = stack.enter_context(
            Recorder(root=home / "spool", settings=CaptureSettings(), registry=CollectorRegistry())
        )
        tracer = tracer_provider("bench", TraceSettings(endpoint="", headers={}, ratio=0)).get_tracer("bench")
        on, off = (
            make_gateway(home, Echo(), one, CollectorRegistry(), expected=expected, tracer=tracer)
            for one in (recorder, None)
        )
        left, right = (await in_turn(lambda: cpu(on), lambda: cpu(off), ROUNDS))["cpu"]
        causes = {name: await cost_of(on, places) for name, places in CAUSES.items()}
        kept = await keeper(on)
    whole = sum(value for name, value in causes.items() if not name.startswith("-"))
    return [
        Figure(name="gateway in process, capture on / off: CPU", unit="us/req", left=left, right=right, aim="-"),
        Cause("capture adds", left - right),
        *(Cause(f"  {name}", value) for name, value in causes.items()),
        Cause("  the rest: locks, clock, limits, colder caches", left - right - whole),
        Cause(f"in addition, keeper thread at {RATE} requests/s: syncs, ticks", kept),
    ]


if __name__ == "__main__":
    for figure in asyncio.run(measure()):
        print(figure.line())
