"""Generate docs/configuration.md: every key with its default, bounds, variable and meaning (``weir config --reference``)."""

import json
import re
from collections.abc import Iterator, Mapping
from inspect import cleandoc
from typing import Any

import msgspec
from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo

from detectors.base import Detector
from weir.settings import Settings
from weir.settings.settings import TenantTable

_HEAD = """\
# Configuration

Generated from the settings by `make reference`; do not edit it.

Weir uses the built-in defaults, then `weir.toml` (or the file that `WEIR_CONFIG` names), then the environment; later values override earlier ones.
Variables are `WEIR_<SECTION>__<KEY>` (lists and tables as JSON), or `WEIR_<SECTION>__<KEY>_FILE` with the path of a file that contains the value.
`WEIR_HOME` (`home` in weir.toml) is the folder that a running stack writes to: by default `.weir`, beside weir.toml or in the current folder.
Write other paths as absolute paths: a relative path starts at the current folder of each process, except `archive.url` (at weir.toml's folder).

`weir config` prints each effective setting and its source. An unknown key, or a value out of its bounds, is an error. Each process
reads the settings once, at its start: restart the stack after a change."""

_TENANTS = """\
## `[tenants."NAME"]`

Settings that can differ by tenant. NAME may be a pattern (`"*"`, `"acme-*"`); Weir merges the matching tables, and later tables override earlier ones.
Two patterns that can match one tenant must be valid together.
Durations are in event time, the time in the records. `alerts`, `accuracy`, `retraining`, `guard`, `consistency` and `loop` are tables:
`[tenants."acme".alerts]`. Each stream detector has a table too, with [options of its own](#options-of-stream-detectors)."""

_OPTIONS = """\
## `[detectors.options.NAME]`

Options of the text detectors, for every tenant."""

_STREAM_OPTIONS = """\
## Options of stream detectors

One table for each detector and tenant: `[tenants."acme".drift]`. `sentinel` and `bias` read the answers to Weir's fixed prompts, which have tenant
`_weir`: `[tenants._weir.sentinel]`."""

_COLUMNS = ("Key", "Default", "Allowed", "Meaning")
_EXCLUSIVE = {"exclusiveMinimum": ">", "minimum": ">=", "exclusiveMaximum": "<", "maximum": "<="}


def reference() -> str:
    """Return the page as Markdown."""
    tenants = [(key, *rest) for key, _variable, *rest in _rows(TenantTable, "")]
    parts = [_HEAD, *_sections(), _TENANTS, _table(_COLUMNS, tenants), *_detectors()]
    return "\n\n".join(parts) + "\n"


def _sections() -> Iterator[str]:
    for name, field in Settings.model_fields.items():
        section = field.annotation
        if isinstance(section, type) and issubclass(section, BaseModel):
            yield f"## `[{name}]`\n\n{_about(section)}"
            yield _table(("Key", "Variable", *_COLUMNS[1:]), _rows(section, f"WEIR_{name.upper()}__"))


def _about(section: type[BaseModel]) -> str:
    """Return the first line of a section's docstring, without the name of its table."""
    line = cleandoc(section.__doc__ or "").splitlines()[0]
    return re.sub(r"^``\[[a-z]+\]``: (.)", lambda found: found[1].upper(), line).replace("``", "`")


def _rows(section: type[BaseModel], prefix: str) -> Iterator[tuple[str, ...]]:
    properties = section.model_json_schema()["properties"]
    for key, field in section.model_fields.items():
        inner = field.annotation
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            for name, _, *rest in _rows(inner, ""):
                yield f"`{key}.{name[1:]}", f"`{prefix}{key.upper()}`", *rest
            continue
        yield (
            f"`{key}`",
            f"`{prefix}{key.upper()}`",
            _default(field),
            _allowed(properties[key]),
            field.description or "",
        )


def _default(field: FieldInfo) -> str:
    default = field.get_default(call_default_factory=True)
    return _value("" if isinstance(default, SecretStr) else default)


def _value(default: Any) -> str:
    if default is msgspec.UNSET or default is msgspec.NODEFAULT:
        return "required"
    if isinstance(default, str) and not default:
        return "empty"
    return f"`{json.dumps(default, default=str)}`"


def _allowed(schema: Mapping[str, Any]) -> str:
    """Return the bounds of a JSON Schema in words, or its type."""
    if "enum" in schema:
        return ", ".join(f"`{value}`" for value in schema["enum"])
    if "anyOf" in schema:
        return " or ".join(_allowed(one) for one in schema["anyOf"])
    kind = str(schema.get("type", "any")).replace("null", "none").replace("object", "table").replace("array", "list")
    bounds = [f"{sign} {schema[bound]:g}" for bound, sign in _EXCLUSIVE.items() if bound in schema]
    if pattern := schema.get("pattern"):
        bounds.append(f"`{pattern}`".replace("|", r"\|"))
    return ", ".join([kind, *bounds])


def _detectors() -> Iterator[str]:
    """Yield the sections of the detectors; two or more options that an earlier detector has too are named, not described again."""
    from detectors.registry import STREAM, TEXT  # noqa: PLC0415 - its libraries are an extra

    for head, found in ((_OPTIONS, TEXT), (_STREAM_OPTIONS, STREAM)):
        yield head
        earlier: dict[str, set[tuple[str, ...]]] = {}
        for name, detector in found.items():
            options = list(_options(detector.config_type))
            yield f"### `{name}`\n\n{_capabilities(detector)}"
            other = max(earlier, key=lambda one: len(earlier[one].intersection(options)), default="")
            shared = earlier.get(other, set()).intersection(options)
            rows = [row for row in options if len(shared) < 2 or row not in shared]
            if len(rows) < len(options):
                yield f"As [`{other}`](#{other}): {', '.join(row[0] for row in options if row in shared)}."
            if rows:
                yield _table(_COLUMNS, rows)
            earlier[name] = set(options)


def _capabilities(detector: type[Detector[Any]]) -> str:
    """Return the sentence that states what a detector reads, and whether it alerts and explains."""
    texts = " and ".join({"input": "prompts", "output": "answers"}[side] for side in detector.sides)
    alerts = "Its findings open alerts" if detector.alert is not None else "Its findings open no alert"
    explains = "; `weir explain` shows the words that caused a finding" if detector.explains else ""
    return f"Reads {texts}. {alerts}{explains}."


def _options(struct: type[msgspec.Struct]) -> Iterator[tuple[str, ...]]:
    """Yield a row for each option; its meaning is copied from ``Attributes`` in the docstrings of `struct` and its bases."""
    (_, schemas) = msgspec.json.schema_components([struct])
    properties = schemas[struct.__name__]["properties"]
    texts = {name: text for base in reversed(struct.__mro__) for name, text in _attributes(base).items()}
    for field in msgspec.structs.fields(struct):
        default = field.default if field.default is not msgspec.NODEFAULT else field.default_factory
        default = default() if callable(default) else default
        yield f"`{field.name}`", _value(default), _allowed(properties[field.encode_name]), texts.get(field.name, "")


def _attributes(struct: type) -> dict[str, str]:
    """Return {name: text} of the ``Attributes`` section of a NumPy docstring."""
    _, _, section = cleandoc(struct.__doc__ or "").partition("Attributes\n----------\n")
    found: dict[str, str] = {}
    names: list[str] = []
    for line in section.splitlines():
        if line and not line.startswith(" "):
            names = line.split(", ")
        for name in names if line.startswith(" ") else ():
            found[name] = f"{found.get(name, '')} {line.strip()}".strip()
    return {name: text.replace("``", "`").replace("|", r"\|") for name, text in found.items()}


def _table(columns: tuple[str, ...], rows: Iterator[tuple[str, ...]] | list[tuple[str, ...]]) -> str:
    lines = [columns, tuple("---" for _ in columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
