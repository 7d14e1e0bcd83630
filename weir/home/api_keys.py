"""Create, list and revoke API keys in ``$WEIR_HOME/keys.json`` (mode 0600; format: serving/api_keys.py).

A key is ``weir-`` and 43 URL-safe characters (256 random bits). Nobody can guess it, so plain SHA-256 suffices. The first key,
for tenant ``default``, is kept in ``$WEIR_HOME/api-key``; the sentinels' key, for Weir's own tenant, in ``$WEIR_HOME/sentinel-key``.
"""

import contextlib
import hashlib
import re
import secrets
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from serving.api_keys import DEFAULT_SCOPES, ApiKey, KeyFile, KeyScope, decode_keys, keys_path
from stream.count_text import count_text
from stream.files import FileLock, replace_file, write_json
from stream.wire import OWN_TENANT
from weir.errors import NotFoundError, SettingsError, StackError

_TENANT = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def first_key_path(home: Path) -> Path:
    """Return the file that contains the first key in plain text; only its owner can read the file."""
    return home / "api-key"


def list_keys(home: Path) -> list[ApiKey]:
    """Return all keys of `home`, including revoked keys, oldest first; raises StackError if the file is damaged."""
    path = keys_path(home)
    try:
        return decode_keys(path.read_bytes())
    except FileNotFoundError:
        return []
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise StackError(f"{path} is damaged: {error}; restore it, or delete it and create new keys") from None


def valid_key(home: Path, path: Path) -> ApiKey | None:
    """Return the record of the key in `path`, or None if the file is missing or its key is unknown or revoked."""
    with contextlib.suppress(FileNotFoundError):
        digest = _digest(path.read_text(encoding="utf-8").strip())
        return next((key for key in list_keys(home) if key.sha256 == digest and key.revoked is None), None)
    return None


def create_key(
    home: Path,
    tenant: str,
    scopes: tuple[KeyScope, ...] = DEFAULT_SCOPES,
    log: Callable[[ApiKey], object] = lambda _: None,
) -> tuple[ApiKey, str]:
    """Create a key for `tenant`; return its record and the key, which is not stored. Raises SettingsError if the name is invalid.

    `log` is called before the key exists; if it raises an error, no key is created.
    """
    check_tenant(tenant)
    record, secret = _new_key(tenant, scopes)
    log(record)
    _store(home, record)
    return record, secret


def check_tenant(tenant: str) -> None:
    """Raise SettingsError if `tenant` cannot be the name of a tenant."""
    if not _TENANT.fullmatch(tenant):
        raise SettingsError(
            f"tenant {tenant!r} is not a valid name: use 1 to 64 letters, digits, '.', '_' or '-', beginning with a letter or digit"
        )


def _new_key(tenant: str, scopes: tuple[KeyScope, ...] = DEFAULT_SCOPES) -> tuple[ApiKey, str]:
    secret = f"weir-{secrets.token_urlsafe(32)}"
    record = ApiKey(
        id=f"k_{secrets.token_hex(6)}",
        tenant=tenant,
        sha256=_digest(secret),
        created=_now(),
        scopes=scopes,
    )
    return record, secret


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _store(home: Path, record: ApiKey) -> None:
    with _locked(home):
        _write(home, [*list_keys(home), record])


def revoke_key(home: Path, key_id: str) -> ApiKey:
    """Revoke the key `key_id` and return its record. A second call has no effect. Raises NotFoundError for an unknown id."""
    with _locked(home):
        keys = list_keys(home)
        found = next((key for key in keys if key.id == key_id), None)
        if found is None:
            raise NotFoundError(
                f"no key {key_id!r} in {keys_path(home)}, which has {count_text(len(keys), 'key')}; give an id that `weir keys list` shows"
            )
        if found.revoked is None:
            found = msgspec.structs.replace(found, revoked=_now())
            _write(home, [found if key.id == key_id else key for key in keys])
    return found


def ensure_first_key(home: Path) -> bool:
    """Create the first key (tenant ``default``) if there is none; return whether this call created it."""
    path = first_key_path(home)
    if path.exists() and list_keys(home):
        return False
    _, secret = create_key(home, "default")
    replace_file(path, secret + "\n", durable=True)
    return True


def own_key_path(home: Path) -> Path:
    """Return the file that contains the key of Weir's own tenant in plain text; only its owner can read the file."""
    return home / "sentinel-key"


def ensure_own_key(home: Path) -> str:
    """Return the key of Weir's own tenant, which users cannot create; create a new key if it is missing or revoked."""
    path = own_key_path(home)
    found = valid_key(home, path)
    if found is not None and found.tenant == OWN_TENANT:
        return path.read_text(encoding="utf-8").strip()
    record, secret = _new_key(OWN_TENANT)
    _store(home, record)
    replace_file(path, secret + "\n", durable=True)
    return secret


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _locked(home: Path) -> FileLock:
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    return FileLock.acquire(home / ".keys.lock")


def _write(home: Path, keys: list[ApiKey]) -> None:
    write_json(keys_path(home), KeyFile(keys), durable=True)
