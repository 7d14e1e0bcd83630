"""Authenticate a request by the API key in its header, and check the scopes of the key."""

import base64

from serving.api_keys import KeyRing, KeyScope, Principal
from serving.http import Headers
from serving.openai_api.errors import ApiError


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


def check_scope(principal: Principal, scope: KeyScope) -> None:
    """Raise ApiError 403 if the key of `principal` does not have `scope`."""
    if scope not in principal.scopes:
        raise ApiError(
            403,
            f"The API key {principal.id} lacks the scope {scope} and has: {', '.join(principal.scopes) or '(none)'}; "
            f"use a key with it: `weir keys create --tenant {principal.tenant} --scope {scope}`.",
            code="insufficient_scope",
            headers={"www-authenticate": f'Bearer error="insufficient_scope", scope="{scope}"'},
        )


def _as_bearer(authorization: str) -> str:
    scheme, _, coded = authorization.partition(" ")
    if scheme.lower() != "basic":
        return authorization
    try:
        _, _, key = base64.b64decode(coded, validate=True).decode().partition(":")
    except ValueError:  # no Base64, no ASCII, or no UTF-8 behind it
        return ""
    return f"Bearer {key}"
