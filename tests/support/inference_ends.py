"""End records with zero measurements, and the collected output of a backend."""

from contextlib import aclosing

from serving.backend import RejectedRequest
from serving.inference_records import request_record, response_record
from serving.openai_api.accumulator import Accumulator
from stream.wire import Usage


def ended(request, expected, choices, status="complete"):
    measured = {"error": None, "usage": Usage(), "latency_seconds": 0.0, "first_token_seconds": None}
    asked = request_record(request, expected)
    return response_record(request, asked, expected, status=status, choices=tuple(choices), **measured)


async def generated(backend, request):
    async with aclosing(backend.generate(request)) as items:
        return [item async for item in items]


def answer_of(items):
    assert not any(isinstance(item, RejectedRequest) for item in items), items
    so_far = Accumulator()
    for item in items:
        so_far.add(item)
    return so_far
