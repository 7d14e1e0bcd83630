"""Signatures of webhooks by the Standard Webhooks specification, scheme ``v1`` (HMAC-SHA256).

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import base64
import binascii
import hashlib
import hmac

SECRET_PREFIX = "whsec_"  # noqa: S105 - the prefix of a secret
_SHORTEST, _LONGEST = 24, 64


def secret_bytes(secret: str) -> bytes:
    """Return the key in `secret` (``whsec_`` and base64); raises ValueError unless the key has 24 to 64 bytes."""
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except (binascii.Error, ValueError):
        key = b""
    if not secret.startswith(SECRET_PREFIX) or not _SHORTEST <= len(key) <= _LONGEST:
        raise ValueError(
            f"it is not {SECRET_PREFIX} and base64 of {_SHORTEST} to {_LONGEST} bytes; create one: "
            f'echo "{SECRET_PREFIX}$(head -c 32 /dev/urandom | base64)"'
        )
    return key


def sign(key: bytes, message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """Return the signature headers of `body`; `timestamp` is the time of this attempt, in seconds since the epoch."""
    signed = f"{message_id}.{timestamp}.".encode() + body
    digest = base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()
    return {"webhook-id": message_id, "webhook-timestamp": str(timestamp), "webhook-signature": f"v1,{digest}"}
