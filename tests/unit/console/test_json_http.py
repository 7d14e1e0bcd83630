"""The JSON bodies of requests to the console."""

import msgspec
import pytest
from starlette.requests import Request

from weir.console.json_http import BadRequest, body_of


class Body(msgspec.Struct):
    """A body with one field."""

    reason: str


def request(body: bytes) -> Request:
    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    return Request({"type": "http", "method": "POST", "headers": []}, receive)


async def test_a_body_at_the_limit_is_read_and_a_larger_one_is_an_error_with_the_limit():
    empty = b'{"reason": ""}'
    longest = "x" * (256 * 1024 - len(empty))
    assert (await body_of(request(empty[:-2] + longest.encode() + b'"}'), Body)).reason == longest
    with pytest.raises(BadRequest, match="more than 262144 bytes, the limit; send a shorter one"):
        await body_of(request(empty[:-2] + longest.encode() + b'x"}'), Body)
