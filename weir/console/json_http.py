"""Query parsing, JSON responses and error mapping."""

from typing import Annotated, Any, TypeVar, get_args, get_origin

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from stream.errors import BrokerError
from stream.wire.errors import StreamError
from weir.errors import AccessDenied, NotFoundError, SettingsError, WeirError

#: A correction and a comment at their limits, with room for the escapes of JSON.
_BODY_BYTES = 256 * 1024
#: Characters of an invalid parameter that its error contains.
_SHOWN = 100
StructT = TypeVar("StructT", bound=msgspec.Struct)


class BadRequest(WeirError):
    """A query parameter or a body is invalid."""


_STATUS: tuple[tuple[type[Exception], int], ...] = (
    (BadRequest, 400),
    (AccessDenied, 403),
    (NotFoundError, 404),
    (SettingsError, 422),
    (BrokerError, 503),
    (WeirError, 409),
    (StreamError, 409),
)


def json_response(value: Any, status: int = 200) -> Response:
    """Return `value` as a JSON response that no cache stores."""
    return Response(
        msgspec.json.encode(value), status, media_type="application/json", headers={"cache-control": "no-store"}
    )


def query_of(request: Request, kind: type[StructT]) -> StructT:
    """Return the query parameters as `kind`, whose fields describe the allowed values; raises BadRequest."""
    given = dict(request.query_params)
    fields = {field.name: field for field in msgspec.structs.fields(kind)}
    if unknown := [name for name in given if name not in fields]:
        raise BadRequest(f"parameter {unknown[0]!r} is unknown; known are {', '.join(fields)}")
    if missing := [name for name, field in fields.items() if field.required and name not in given]:
        raise BadRequest(f"parameter {missing[0]!r} is missing; add {missing[0]}=…")
    return kind(**{name: _value(name, text, fields[name].type) for name, text in given.items()})


def _value(name: str, text: str, kind: Any) -> Any:
    annotated = next(
        one for one in (kind, *get_args(kind)) if get_origin(one) is Annotated
    )  # an optional parameter is `… | None`
    try:
        return msgspec.convert(text, annotated, strict=False)
    except msgspec.ValidationError:
        raise bad_parameter(name, text, annotated.__metadata__[0].description) from None


def bad_parameter(name: str, text: str, allowed: str) -> BadRequest:
    """Return the error of an invalid parameter."""
    return BadRequest(f"parameter {name!r} is {text[:_SHOWN]!r}; allowed is {allowed}")


async def body_of(request: Request, kind: type[StructT]) -> StructT:
    """Return the JSON body as `kind`; raises BadRequest."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > _BODY_BYTES:
            raise BadRequest(f"the body has more than {_BODY_BYTES} bytes, the limit; send a shorter one")
    try:
        return msgspec.json.decode(body, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise BadRequest(f"the body is invalid: {error}") from None


async def error_response(_request: Request, error: Exception) -> Response:
    """Return the response for an expected error."""
    status = next(status for kind, status in _STATUS if isinstance(error, kind))
    return json_response({"error": str(error)}, status)
