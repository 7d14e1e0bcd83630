"""The failures of a request to another server, and the errors that clients receive for them."""

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import httpx

from serving.backend import RejectedRequest
from stream.certificates import CERTIFICATE_FIX, is_certificate_error
from stream.http_date import parse_http_date

ERROR, BROKEN, TIMEOUT = "upstream_error", "upstream_broken", "upstream_timeout"
UNREACHABLE, CIRCUIT_OPEN = "upstream_unreachable", "upstream_circuit_open"
#: Statuses about Weir's own credentials, of which the client knows nothing, with the setting that contains them.
_REJECTED_KEYS = {401: "upstream_api_key", 403: "upstream_api_key", 407: "HTTPS_PROXY or HTTP_PROXY"}
#: A longer time in Retry-After is handed on as this time.
_LONGEST_SECONDS = 86_400.0


class UpstreamFailure(Exception):
    """A request failed. The client receives `rejected`; `retryable` is whether a retry of the request may succeed."""

    def __init__(self, rejected: RejectedRequest, *, retryable: bool = False) -> None:
        super().__init__(rejected.code)
        self.rejected = rejected
        self.retryable = retryable


class OperatorFailure(UpstreamFailure):
    """Only the operator can correct this: the other server redirects, it or a proxy rejects Weir's key, or Weir rejects a certificate."""


def broken(what: str) -> UpstreamFailure:
    """Return the failure for a response that breaks OpenAI's format or is incomplete; `what` contains no text of it."""
    return UpstreamFailure(RejectedRequest(code=BROKEN, status=502, message=f"The upstream server {what}."))


def circuit_open(seconds: float) -> UpstreamFailure:
    """Return the failure of a request that was not sent, because the circuit is open until a probe in `seconds`."""
    wait = math.ceil(seconds)  # a client that waits for less is rejected again
    message = f"The upstream server failed repeatedly; the next attempt is in {wait} s. Send the request again then."
    return UpstreamFailure(
        RejectedRequest(code=CIRCUIT_OPEN, status=503, message=message, retry_after_seconds=max(1, wait))
    )


def transport_failure(error: httpx.HTTPError | OSError, read_seconds: float, *, answered: bool) -> UpstreamFailure:
    """Return the failure for an error of the connection; `answered` is whether the response had begun."""
    name = type(error).__name__
    if isinstance(error, httpx.ProxyError) and str(error).startswith("407"):  # the answer to CONNECT, before TLS
        return error_response(httpx.codes.PROXY_AUTHENTICATION_REQUIRED, None, None)
    if is_certificate_error(error):
        message = f"Weir cannot verify the upstream server's certificate; the operator must {CERTIFICATE_FIX}."
        return OperatorFailure(RejectedRequest(code=UNREACHABLE, status=502, message=message))
    if isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.ProxyError):
        message = f"The upstream server cannot be reached ({name})."
        return UpstreamFailure(RejectedRequest(code=UNREACHABLE, status=502, message=message), retryable=True)
    if isinstance(error, httpx.TimeoutException):
        message = f"The upstream server sent nothing for {read_seconds:g} s, the limit upstream_read_seconds ({name})."
        return UpstreamFailure(RejectedRequest(code=TIMEOUT, status=504, message=message))
    message = f"The upstream server broke the connection before the end of its response ({name})."
    return UpstreamFailure(RejectedRequest(code=BROKEN, status=502, message=message), retryable=not answered)


def error_response(status: int, body: dict[str, Any] | None, seconds: float | None) -> UpstreamFailure:
    """Return the failure for an error response; `body` is its JSON object or None, `seconds` is its Retry-After."""
    if status < httpx.codes.BAD_REQUEST:  # a redirect, or nothing that a client asked for
        message = f"The upstream server returned status {status}; the operator must correct base_url."
        return OperatorFailure(RejectedRequest(code=ERROR, status=502, message=message))
    if setting := _REJECTED_KEYS.get(status):  # the body may contain a part of the key
        message = f"The upstream server rejects Weir's key (status {status}); the operator must correct {setting}."
        return OperatorFailure(RejectedRequest(code=ERROR, status=502, message=message))
    return UpstreamFailure(
        RejectedRequest(
            code=ERROR,
            status=status,
            message=f"The upstream server returned status {status} without an error in JSON.",
            body=body,
            retry_after_seconds=None if seconds is None else math.ceil(seconds),
        )
    )


def reported_error(name: str, body: Mapping[str, Any]) -> UpstreamFailure | None:
    """Return the failure if an event, or a response with status 200, contains an error instead of an answer."""
    error = body.get("error")
    if not error and name != "error" and body.get("type") != "error":
        return None
    if body.get("object") == "response":  # a failed answer, which its accumulator reports
        return None
    status = error.get("code") if isinstance(error, Mapping) else None
    if type(status) is not int or not httpx.codes.BAD_REQUEST <= status <= 599:
        status = 502
    return error_response(status, dict(body), None)


def retry_after(response: httpx.Response, clock: Callable[[], float] = time.time) -> float | None:
    """Return the seconds in the header Retry-After (a number or a date), or None if it is missing or invalid.

    A date is by the clock of the server, which its header Date shows; without this header, by `clock`.
    """
    value = response.headers.get("retry-after", "").strip()
    try:
        seconds = float(value)
    except ValueError:
        if (until := parse_http_date(value)) is None:
            return None
        now = parse_http_date(response.headers.get("date", ""))
        seconds = until - (clock() if now is None else now)
    return min(max(seconds, 0.0), _LONGEST_SECONDS) if seconds == seconds else None  # noqa: PLR0124 - not NaN
