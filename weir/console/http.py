"""Parameters in, JSON out, and what a fault is told as."""

from typing import Any, TypeVar

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from stream.wire.errors import StreamError
from weir.errors import BrokerError, NotFoundError, SettingsError, WeirError

__all__ = ["BadRequest", "body_of", "failed", "json_response", "query_of"]

_BODY_BYTES = 16 * 1024
_STATUS: tuple[tuple[type[Exception], int], ...] = (
    (NotFoundError, 404),
    (SettingsError, 422),
    (BrokerError, 503),
    (WeirError, 409),
    (StreamError, 409),
)
StructT = TypeVar("StructT", bound=msgspec.Struct)


class BadRequest(SettingsError):
    """A parameter or a body is not what the address takes."""


def json_response(value: Any, status: int = 200) -> Response:
    """Return `value` as JSON that nobody keeps."""
    return Response(
        msgspec.json.encode(value), status, media_type="application/json", headers={"cache-control": "no-store"}
    )


def query_of(request: Request, kind: type[StructT]) -> StructT:
    """Return the query's parameters as `kind`.

    Raises
    ------
    BadRequest
        One is unknown, or out of its bounds.
    """
    given = dict(request.query_params)
    known = kind.__struct_fields__
    if unknown := [name for name in given if name not in known]:
        raise BadRequest(f"parameter {unknown[0]!r} is unknown here; known are {', '.join(known)}")
    try:
        return msgspec.convert(given, kind, strict=False)
    except msgspec.ValidationError as error:
        raise BadRequest(f"a parameter is not as it must be: {error}") from None


async def body_of(request: Request, kind: type[StructT]) -> StructT:
    """Return the JSON body as `kind`; raises BadRequest."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > _BODY_BYTES:
            raise BadRequest(f"the body has more than {_BODY_BYTES} bytes, the bound")
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest(f"the body is not as it must be: {error}") from None


async def failed(_request: Request, error: Exception) -> Response:
    """Return what an expected error is told as: one sentence, with its remedy."""
    status = next(status for kind, status in _STATUS if isinstance(error, kind))
    return json_response({"error": str(error)}, status)
