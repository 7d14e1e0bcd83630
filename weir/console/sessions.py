"""Authentication of the console: a secret in ``$WEIR_HOME/console-token``, one-time links, sessions in a cookie.

The secret is the bearer token of programs, and the key that signs links and sessions. So a user who can read the
secret's file can use the console. Links do not contain the secret. A link starts one session, and expires after a day
or when the console restarts.
"""

import hashlib
import hmac
import secrets
import time
from collections.abc import Callable
from pathlib import Path

from stream.files import FileLock, replace_file
from weir.errors import StackError

LINK_SECONDS = 86_400.0
SESSION_SECONDS = 7 * 86_400
_LINK, _SESSION = "link", "session"
#: Maximum number of used links that are kept; more links per day are rejected.
_MAX_USED = 10_000
#: Tolerated difference between the clocks of this process and the command that made a link.
_SLACK_SECONDS = 2.0


def token_path(home: Path) -> Path:
    """Return the path of the secret."""
    return home / "console-token"


def ensure_token(home: Path) -> str:
    """Return the console's secret (256 random bits); create the file (mode 0600) if needed. Raises StackError if the file is damaged."""
    path = token_path(home)
    if not path.exists():
        with FileLock.acquire(home / ".console-token.lock"):  # several processes can start together
            if not path.exists():
                replace_file(path, secrets.token_urlsafe(32) + "\n")  # on a full disk, no empty file stays
    secret = path.read_text(encoding="utf-8").strip()
    if len(secret) < 32:
        raise StackError(
            f"{path} has {len(secret)} characters, a token has 43; delete it, and `weir up` creates a new one"
        )
    return secret


def _signed(secret: str, kind: str, payload: str) -> str:
    mac = hmac.new(secret.encode(), f"{kind}\n{payload}".encode(), hashlib.sha256).hexdigest()
    return f"{payload}.{mac}"


def _payload(secret: str, kind: str, signed: str) -> tuple[float, str] | None:
    """Verify `signed` and return its time and nonce, or None if the signature is invalid.

    The time is the creation time of a link, or the expiry of a session.
    """
    payload, _dot, _mac = signed.rpartition(".")
    if not hmac.compare_digest(_signed(secret, kind, payload).encode(), signed.encode()):
        return None
    number, _dash, nonce = payload.partition("-")
    return float(number), nonce


def link_token(secret: str, now: float) -> str:
    """Create the token of a new one-time link: the value of its query parameter ``token``."""
    return _signed(secret, _LINK, f"{now:.0f}-{secrets.token_hex(8)}")


class Sessions:
    """Checks links, sessions and bearer tokens; for use in one event loop."""

    def __init__(self, secret: str, clock: Callable[[], float] = time.time) -> None:
        self._secret = secret
        self._clock = clock
        self._started = clock()
        self._used: dict[str, float] = {}

    def redeem(self, token: str) -> str | None:
        """Return a new session cookie for a link's token, or None if the token is invalid, used or expired."""
        found = _payload(self._secret, _LINK, token)
        now = self._clock()
        if found is None or found[1] in self._used:
            return None
        made = found[0]
        if not self._started - _SLACK_SECONDS <= made <= now + _SLACK_SECONDS or now - made > LINK_SECONDS:
            return None
        self._used = {nonce: at for nonce, at in self._used.items() if now - at <= LINK_SECONDS}
        if len(self._used) >= _MAX_USED:
            return None
        self._used[found[1]] = made
        return _signed(self._secret, _SESSION, f"{now + SESSION_SECONDS:.0f}-{secrets.token_hex(8)}")

    def session(self, cookie: str) -> str:
        """Return the short name of a valid session, or "" for any other cookie."""
        found = _payload(self._secret, _SESSION, cookie)
        return found[1][:8] if found is not None and self._clock() < found[0] else ""

    def bearer(self, token: str) -> bool:
        """Return whether `token` is the secret itself."""
        return hmac.compare_digest(token.encode(), self._secret.encode())
