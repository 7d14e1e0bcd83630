"""API keys: the file ``$WEIR_HOME/keys.json``, and the valid keys that a gateway reads from it.

``weir keys`` writes the file, and a gateway reads the file again when it changes::

    {"keys": [{"id": "k_…", "tenant": "default", "sha256": "…64 hex digits…", "created": "2026-01-31T12:00:00Z",
               "revoked": null, "scopes": ["infer", "feedback"]}]}

The file contains the SHA-256 of each key, not the key. ``revoked`` is null or the time of the revocation. ``scopes``
are the permissions of the key (:data:`KeyScope`); a key without ``scopes`` has the default.
"""

import hashlib
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import msgspec

from stream.files import WatchedFile

_CHECK_SECONDS = 0.5

#: Permissions of a key: send inference; send feedback; review answers and send labels; approve retraining; report the keys of
#: another gateway as principals.
KeyScope = Literal["infer", "feedback", "review", "approve", "delegate"]
DEFAULT_SCOPES: tuple[KeyScope, ...] = ("infer", "feedback")


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """One key in ``keys.json``."""

    id: str
    tenant: str
    sha256: str
    created: str = ""
    revoked: str | None = None
    scopes: tuple[KeyScope, ...] = DEFAULT_SCOPES


class KeyFile(msgspec.Struct, frozen=True):
    """The content of ``keys.json``."""

    keys: list[ApiKey] = []


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """The owner of a request: the id, the tenant and the scopes of its API key."""

    id: str
    tenant: str
    scopes: tuple[KeyScope, ...] = DEFAULT_SCOPES


#: {SHA-256: principal} of the valid keys.
_Keys = Mapping[bytes, Principal]


def keys_path(home: Path) -> Path:
    """Return the path of the key file of a home."""
    return home / "keys.json"


def decode_keys(content: bytes) -> list[ApiKey]:
    """Return all keys of the file, including revoked keys, oldest first; raises msgspec.DecodeError or UnicodeDecodeError."""
    return msgspec.json.decode(content, type=KeyFile).keys


def _valid_keys(content: bytes) -> _Keys:
    return {
        bytes.fromhex(key.sha256): Principal(id=key.id, tenant=key.tenant, scopes=key.scopes)
        for key in decode_keys(content)
        if key.revoked is None
    }


class KeyRing:
    """The valid keys of one file, which is checked for changes every half second, and for each unknown key.

    A new key is therefore valid at once, and a revoked key stays valid for at most half a second. If the file cannot be read,
    the last keys remain valid, so that a damaged file does not lock out users. If the file does not exist, no key is valid.
    """

    def __init__(self, path: Path) -> None:
        self._file: WatchedFile[_Keys] = WatchedFile(path, _valid_keys, {})
        self._next_check = 0.0
        self._keys: _Keys = {}

    def identify(self, authorization: str | None) -> Principal | None:
        """Return the principal of an ``Authorization: Bearer …`` header, or None.

        The duration of the lookup says nothing about a key: nobody can choose the first bytes of a SHA-256.
        """
        scheme, _, key = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not key:
            return None
        digest = hashlib.sha256(key.strip().encode()).digest()
        now = time.monotonic()
        if now >= self._next_check:
            self._read(now)
        if digest not in self._keys:
            self._read(now)
        return self._keys.get(digest)

    def _read(self, now: float) -> None:
        self._next_check = now + _CHECK_SECONDS
        self._keys = self._file.value()
