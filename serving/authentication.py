"""Authenticate a request: read the API key from its header, and raise an error if the key is missing or invalid."""

import base64
import binascii

from serving.api_keys import KeyRing, Principal
from serving.http import Headers
from serving.openai_api.errors import ApiError

__all__ = ["authenticate"]


def authenticate(keys: KeyRing, headers: Headers, *, allow_basic: bool = False) -> Principal:
    """Return the principal of the request's API key; raises ApiError 401.

    With `allow_basic`, the password of HTTP Basic can be the key, because some clients can only send ``user:password`` in the URL.
    """
    authorization = headers.get("authorization", "")
    principal = keys.identify(_as_bearer(authorization) if allow_basic else authorization)
    if principal is not None:
        return principal
    problem = "is not valid" if "authorization" in headers else "is missing"
    basic = ", or the key as the password of the address (http://weir:<key>@host/…)" if allow_basic else ""
    raise ApiError(
        401,
        f"The API key {problem}; send `Authorization: Bearer <key>`{basic}. `weir keys create` makes a key.",
        code="invalid_api_key",
        headers={"www-authenticate": "Bearer"},
    )


def _as_bearer(authorization: str) -> str:
    scheme, _, coded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return authorization
    try:
        _, _, key = base64.b64decode(coded, validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return ""
    return f"Bearer {key}"
