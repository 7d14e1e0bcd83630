"""Errors of the API in OpenAI's format; a message never contains text of the request."""

from typing import Any

_TYPES = {401: "authentication_error", 404: "not_found_error", 429: "rate_limit_error"}


class ApiError(Exception):
    """An error response.

    `message` states what is wrong, the value (never text of the request), the bound and the fix. `code` is a stable
    identifier for programs, `param` is the name of the wrong field. `body` is another server's error response, which is
    sent unchanged.
    """

    def __init__(  # noqa: PLR0913 - the parts of a response
        self,
        status: int,
        message: str,
        *,
        code: str,
        param: str | None = None,
        headers: dict[str, str] | None = None,
        body: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.code = code
        self.param = param
        self.headers = headers or {}
        self._body = body

    @property
    def type(self) -> str:
        """OpenAI's name for this class of errors."""
        default = "invalid_request_error" if self.status < 500 else "server_error"
        return _TYPES.get(self.status, default)

    def body(self) -> dict[str, Any]:
        """Return the response's body."""
        return self._body or {
            "error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}
        }


def invalid(message: str, *, code: str = "invalid_value", param: str | None = None) -> ApiError:
    """Return an error with status 400."""
    return ApiError(400, message, code=code, param=param)


def unavailable(message: str, *, code: str, retry_after_seconds: int = 1) -> ApiError:
    """Return an error with status 503 and ``Retry-After``."""
    return ApiError(503, message, code=code, headers={"retry-after": str(retry_after_seconds)})
