"""Load the settings once per process: built-in defaults, then ``weir.toml``, then the environment; the last value wins.

Environment variables:

- ``WEIR_CONFIG``: path of the settings file; default: ``weir.toml`` in the current folder.
- ``WEIR_HOME``: folder that a running stack writes to; default: ``.weir`` beside the settings file, or in the current
  folder if there is no settings file.
- ``WEIR_<SECTION>__<KEY>``: value of a key.
- ``WEIR_<SECTION>__<KEY>_FILE``: path of a file that contains the value of a key.
"""

import json
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import msgspec
from pydantic import BaseModel, SecretStr, ValidationError
from pydantic_core import ErrorDetails, to_jsonable_python
from pydantic_settings import SettingsError as SourceError

from stream.address import WebhookAddress, redacted
from stream.settings import WebhookSettings
from weir.errors import SettingsError
from weir.settings.secret_files import PREFIX, SUFFIX, files_of, read_files
from weir.settings.settings import Settings, TenantTable

#: Sections whose keys are names that users choose.
_NAMED = ("models", "tenants")
_MASK = "********"
#: Keys of vLLM's tables that are, or can be, secrets: variables of its replicas, and arguments such as hf_token.
_SECRETS = re.compile(
    r"\.env_vars\.|\.(?:engine_kwargs|llm_config|prefill)\.(?:.*[._-])?(?:token|key|secret|password)$", re.IGNORECASE
)
#: Type of a pydantic error → the fix in TOML, because pydantic's messages name Python types.
_KINDS = {
    "dict_type": "it must be a table",
    "model_type": "it must be a table",
    "tuple_type": 'it must be a list, such as ["a", "b"]',
    "string_type": 'it must be a string in quotes, such as "a"',
}
#: The beginning of the fix in a message that states its own.
_REMEDY = re.compile(r"; (?:add|create|move|name|set) ")
_CONTROL = {"WEIR_APPROVAL_KEY", "WEIR_CONFIG", "WEIR_HOME", "WEIR_REQUIRE_APACHE", "WEIR_REQUIRE_CHROMIUM"}


class Loaded(msgspec.Struct, frozen=True, kw_only=True):
    """Settings; `sources` maps each dotted key that was set to ``environment NAME``, ``file PATH`` or ``file PATH of NAME``."""

    settings: Settings
    sources: dict[str, str]
    config_path: Path | None

    def effective(self) -> dict[str, dict[str, Any]]:
        """Return {dotted key: {value, source}}, with masked secrets; the values have the types of JSON."""
        return {
            key: {"value": value, "source": self.sources.get(key, "default")}
            for key, value in shown_values(self.settings).items()
        }


def shown_values(settings: Settings) -> dict[str, Any]:
    """Return {dotted key: value}, with masked secrets; the values have the types of JSON."""
    return {key: _MASK if _SECRETS.search(key) else _shown(value) for key, value in _flatten(dict(settings))}


def changes_since_start(before: Mapping[str, Any], settings: Settings) -> str:
    """Return a note that names the tables of `settings` that differ from the stack's :func:`shown_values` at its start, or "".

    A changed secret is not found. `before` is {} if it is unknown.
    """
    now = msgspec.json.decode(msgspec.json.encode(shown_values(settings)))  # as `before`, which is from a file
    keys = sorted(before.keys() | now.keys()) if before else []
    tables = dict.fromkeys(f"[{key.partition('.')[0]}]" for key in keys if before.get(key) != now.get(key))
    fix = "have changed since the start of the stack; `weir down`, then `weir up` applies them"
    return f"settings in {', '.join(tables)} {fix}" if tables else ""


def load_settings() -> Loaded:
    """Load the settings and make `home` and the archive's folder absolute; raises SettingsError."""
    path = _config_path()
    values = _read(path) if path else {}
    _check_environment(values)
    try:
        settings = Settings(**values)
    except ValidationError as error:
        raise SettingsError(_explain(error, path)) from None
    except SourceError as error:
        names = ", ".join(sorted(_environment_keys().values()))
        raise SettingsError(
            f"{error}: one of these variables is not JSON: {names}. Write a list as '[\"pii\"]', a table as "
            "'{\"key\": 1}'"
        ) from None
    archive = settings.archive.model_copy(update={"url": _archive_url(path, settings.archive.url)})
    settings = settings.model_copy(update={"home": _home(path, values), "archive": archive})
    return Loaded(settings=settings, sources=_sources(values, path), config_path=path)


def home_folder() -> Path:
    """Return the home of the settings without checking the other keys, because an invalid key must not prevent ``weir down``.

    Raises SettingsError if the settings file cannot be read.
    """
    path = _config_path()
    return _home(path, _read(path) if path else {})


def _home(path: Path | None, values: Mapping[str, Any]) -> Path:
    own = {name: value for name, value in os.environ.items() if name.removesuffix(SUFFIX) == "WEIR_HOME"}
    named = own.get("WEIR_HOME") or read_files(own).get("WEIR_HOME") or values.get("home")
    # Without symbolic links: the processes of a stack, and its run directory, are found by the name of the home.
    found = Path(os.path.realpath(_beside(path) / _expanded(str(named or ".weir"))))
    if found.exists() and not found.is_dir():
        raise SettingsError(f"the home {found} is not a folder; set WEIR_HOME to a folder, which may be new")
    return found


def _archive_url(path: Path | None, url: str) -> str:
    """Return `url`; a relative folder is made absolute, so that commands in other folders find the same archive."""
    return url if not url or ":" in url else str((_beside(path) / _expanded(url)).resolve())


def _expanded(folder: str) -> Path:
    """Replace ``~``, as a shell does; raises SettingsError if there is no such user."""
    try:
        return Path(folder).expanduser()
    except RuntimeError as error:
        raise SettingsError(f"the folder {folder!r} does not exist: {error} Name it without ~") from None


def _beside(path: Path | None) -> Path:
    """Return the folder of relative paths: the settings file's folder, else the current folder."""
    return path.parent if path else Path.cwd()


def _config_path() -> Path | None:
    named = os.environ.get("WEIR_CONFIG")
    path = Path(named or "weir.toml").resolve()
    if path.is_file():
        return path
    if named:
        raise SettingsError(f"WEIR_CONFIG names {path}, which is not a file; create it or unset WEIR_CONFIG")
    return None


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))  # some editors write a byte order mark
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is not TOML: {error}") from None
    except OSError as error:
        raise SettingsError(f"{path} cannot be read ({error.strerror}); correct its mode") from None


def _environment_keys() -> dict[str, str]:
    """Return {dotted key: variable} of the variables that set a key."""
    names = [name for name in os.environ if name.startswith(PREFIX) and name not in _CONTROL]
    direct = [name for name in names if not name.endswith(SUFFIX)]
    return {name.removeprefix(PREFIX).lower().replace("__", "."): name for name in direct} | files_of(os.environ)


def _check_environment(values: Mapping[str, Any]) -> None:
    for name in os.environ:
        if name.upper().startswith(PREFIX) and not name.startswith(PREFIX):
            raise SettingsError(
                f"{name} is no variable of Weir, because their names begin with {PREFIX}; write {name.upper()}, or unset it"
            )
    for key, name in _environment_keys().items():
        section, *parts = key.split(".")
        named = values.get(section) if section in _NAMED and parts else None
        if isinstance(named, Mapping) and parts[0] not in named:
            for other in named:
                if other.lower() == parts[0]:
                    raise SettingsError(
                        f"{name} sets {key_of((section, *parts))}, because Weir reads the names of variables in lower case, but {section} has"
                        f" {other!r}; unset the variable, and set the key in the file, or {PREFIX}{section.upper()} as JSON"
                    )
        if section not in Settings.model_fields:
            known = ", ".join(sorted(Settings.model_fields))
            raise SettingsError(
                f"{name} sets the unknown section {section!r}; known sections: {known}. Unset or rename it"
            )


def _explain(error: ValidationError, path: Path | None) -> str:
    variables = _environment_keys()
    lines = []
    for item in error.errors(include_url=False):
        parts = [str(part) for part in item["loc"]]
        prefixes = (".".join(parts[:length]) for length in range(len(parts), 0, -1))
        variable = next((variables[prefix] for prefix in prefixes if prefix in variables), None)
        inside = [name for key, name in variables.items() if key.startswith(".".join([*parts, ""]))]
        source = variable or ", ".join([*inside, *([str(path)] if path else [])]) or "the defaults"
        lines.append(f"{redacted(key_of(parts))} ({source}){_problem(parts, item)}")
    return "\n".join(lines)


def key_of(parts: Sequence[str]) -> str:
    """Return the dotted key of `parts`, with quotes around the name of a tenant or model: ``tenants."acme-*".bucket_seconds``."""
    return ".".join(
        f'"{part}"' if index == 1 and parts[0] in {"tenants", "models"} else part for index, part in enumerate(parts)
    )


def _problem(parts: Sequence[str], item: ErrorDetails) -> str:
    """Return the second part of an error about a key: the key's value (a secret is masked), its bounds, and the fix."""
    section = _section(parts[:-1])
    in_tenant = section is TenantTable and bool(parts[2:])  # else the key is the name of a tenant
    if item["type"] == "extra_forbidden" or (in_tenant and parts[-1] not in section.model_fields):
        table = f" If it is a stream detector, its options must be a table: [{key_of(parts)}]." if in_tenant else ""
        return f": unknown key; known here are {', '.join(section.model_fields)}.{table} Rename or remove it"
    field = section.model_fields.get(parts[-1])
    # In a table of webhooks, a value that is not a table is usually a URL.
    kind = field.annotation if field is not None else WebhookAddress if section is WebhookSettings else None
    value = _MASK if kind in {SecretStr, WebhookAddress} else as_written(item["input"])
    if item["type"] == "missing":
        return f" is missing; set it, in the file or as {PREFIX}{'__'.join(parts).upper()}"
    is_value = isinstance(item["input"], str | int | float)
    message = _KINDS.get(item["type"], item["msg"].removeprefix("Value error, "))
    remedy = "" if _REMEDY.search(message) else "; change or unset it"
    return f"{f' is {value}' if is_value else ''}: {message}{remedy}"


def as_written(value: Any) -> str:
    """Return a wrong value without credentials; booleans are spelled as in TOML and JSON."""
    if isinstance(value, list):
        return f"[{', '.join(map(as_written, value))}]"
    return str(value).lower() if isinstance(value, bool) else repr(redacted(value) if isinstance(value, str) else value)


def _section(parts: Sequence[str]) -> type[BaseModel]:
    """Return the innermost section on the path `parts`."""
    section: type[BaseModel] = Settings
    if parts[:1] == ["tenants"]:
        section, parts = TenantTable, parts[2:]
    for part in parts:
        field = section.model_fields.get(part)
        kinds = () if field is None else (field.annotation, *get_args(field.annotation))
        section = next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), section)
    return section


def _sources(values: Mapping[str, Any], path: Path | None) -> dict[str, str]:
    found = {key: f"file {path}" for key, _ in _flatten(values)}
    content = os.environ | read_files(os.environ)
    for key, name in _environment_keys().items():
        source = f"file {os.environ[name]} of {name}" if name.endswith(SUFFIX) else f"environment {name}"
        found |= dict.fromkeys([key, *_keys_of_table(key, content[name.removesuffix(SUFFIX)])], source)
    if "WEIR_HOME" in os.environ:
        found["home"] = "environment WEIR_HOME"
    return found


def _keys_of_table(key: str, value: str) -> list[str]:
    """Return the dotted keys of a table that a variable contains as JSON."""
    try:
        table = json.loads(value)
    except ValueError:
        return []
    return [name for name, _ in _flatten({key: table})] if isinstance(table, dict) else []


def _flatten(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    flat: list[tuple[str, Any]] = []
    for name, value in values.items():
        table = dict(value) if isinstance(value, BaseModel) else value
        if isinstance(table, Mapping) and table:
            flat += _flatten(table, f"{prefix}{name}.")
        else:
            flat.append((f"{prefix}{name}", value))
    return flat


def _shown(value: Any) -> Any:
    if isinstance(value, SecretStr):
        return _MASK if value.get_secret_value() else ""
    if isinstance(value, WebhookAddress):
        return value.shown
    if isinstance(value, str) and "://" in value:  # an address for fsspec, such as sftp://user:password@host/folder
        return redacted(value)
    return to_jsonable_python(value)
