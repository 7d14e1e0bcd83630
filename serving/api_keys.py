"""API keys: a file of their SHA-256 digests, read again when it changes.

The file (``$WEIR_HOME/keys.json``) is written by ``weir keys``::

    {"keys": [{"id": "k_…", "tenant": "default", "sha256": "…", "created": "…", "revoked": null}]}
"""

import hashlib
import hmac
import logging
import time
from pathlib import Path

import msgspec

__all__ = ["KeyRing", "Principal"]

_LOG = logging.getLogger(__name__)
_CHECK_SECONDS = 0.5


class Principal(msgspec.Struct, frozen=True, kw_only=True):
    """Who asks: the key's id, and the tenant it belongs to."""

    id: str
    tenant: str


class _Key(msgspec.Struct, frozen=True, kw_only=True):
    id: str
    tenant: str
    sha256: str
    revoked: str | None = None


class _File(msgspec.Struct, frozen=True):
    keys: tuple[_Key, ...] = ()


class KeyRing:
    """The keys of one file.

    A file that cannot be read leaves the keys as they were, so that a half-written file locks nobody out; no file at all
    means no keys.

    Parameters
    ----------
    path
        The keys file; it is looked at, at most twice a second.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp: tuple[int, int, int] | None = None
        self._next_check = 0.0
        self._keys: tuple[tuple[bytes, Principal], ...] = ()

    def identify(self, authorization: str | None) -> Principal | None:
        """Return whose ``Authorization: Bearer …`` header this is, or None.

        Every key is compared, in constant time, so that how long it takes says nothing.
        """
        scheme, _, key = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not key:
            return None
        self._refresh()
        digest = hashlib.sha256(key.strip().encode()).digest()
        found = None
        for known, principal in self._keys:
            if hmac.compare_digest(known, digest):
                found = principal
        return found

    def _refresh(self) -> None:
        now = time.monotonic()
        if now < self._next_check:
            return
        self._next_check = now + _CHECK_SECONDS
        try:
            status = self._path.stat()
        except FileNotFoundError:
            self._stamp, self._keys = None, ()
            return
        stamp = (status.st_mtime_ns, status.st_size, status.st_ino)
        if stamp == self._stamp:
            return
        try:
            self._keys = _read(self._path)
            self._stamp = stamp
        except (OSError, ValueError) as error:
            _LOG.warning("keys file %s cannot be read (%s); the keys read before stay valid", self._path, error)


def _read(path: Path) -> tuple[tuple[bytes, Principal], ...]:
    file = msgspec.json.decode(path.read_bytes(), type=_File)
    return tuple(
        (bytes.fromhex(key.sha256), Principal(id=key.id, tenant=key.tenant)) for key in file.keys if key.revoked is None
    )
