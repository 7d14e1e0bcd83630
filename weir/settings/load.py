"""Weir's settings: built-in defaults, then ``weir.toml``, then the environment; built once in a process's main.

``WEIR_CONFIG`` names the file (default ``weir.toml`` in the current folder), ``WEIR_HOME`` the folder of everything that a
running stack writes (default ``.weir`` beside the file, else in the current folder), ``WEIR_<SECTION>__<KEY>`` any key, and
``WEIR_<SECTION>__<KEY>_FILE`` a file that holds its value.
"""

import os
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import msgspec
from pydantic import (
    BaseModel,
    Field,
    SecretStr,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_core import ErrorDetails
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict
from pydantic_settings import SettingsError as SourceError

from serving.settings import CaptureSettings, HttpSettings, IntakeSettings, ModelSettings
from stream.address import redacted
from stream.settings import (
    BridgeSettings,
    DetectorSettings,
    KafkaSettings,
    LedgerSettings,
    ScoreSettings,
    TenantSettings,
    WatchSettings,
    tenant_settings,
)
from stream.wire import OWN_TENANT
from weir.errors import SettingsError
from weir.settings.secret_files import SUFFIX, files_of, read_files
from weir.settings.sections import ConsoleSection, MetricsSection, MlflowSection, SentinelSection, TraceSection

__all__ = [
    "ConsoleSection",
    "Loaded",
    "MetricsSection",
    "MlflowSection",
    "SentinelSection",
    "Settings",
    "TraceSection",
    "key_of",
    "load_settings",
]

_PREFIX = "WEIR_"
_TENANTS = TypeAdapter(dict[str, TenantSettings])
_CONTROL = {"WEIR_CONFIG", "WEIR_HOME", "WEIR_REQUIRE_APACHE", "WEIR_REQUIRE_CHROMIUM"}


class Settings(BaseSettings):
    """Everything that can be set, frozen."""

    model_config = SettingsConfigDict(
        env_prefix=_PREFIX, env_nested_delimiter="__", frozen=True, extra="forbid", case_sensitive=False
    )

    home: Path = Field(
        Path(".weir"),
        description="folder of everything that a running stack writes; beside weir.toml, else in the current folder",
    )
    kafka: KafkaSettings = KafkaSettings()
    http: HttpSettings = HttpSettings()
    model: ModelSettings = ModelSettings()
    capture: CaptureSettings = CaptureSettings()
    intake: IntakeSettings = IntakeSettings()
    detectors: DetectorSettings = DetectorSettings()
    score: ScoreSettings = ScoreSettings()
    watch: WatchSettings = WatchSettings()
    ledger: LedgerSettings = LedgerSettings()
    bridge: BridgeSettings = BridgeSettings()
    trace: TraceSection = TraceSection()
    mlflow: MlflowSection = MlflowSection()
    metrics: MetricsSection = MetricsSection()
    console: ConsoleSection = ConsoleSection()
    tenants: dict[str, dict[str, Any]] = Field(default_factory=dict, description="settings by tenant name or pattern")
    sentinel: SentinelSection = SentinelSection()  # after what it is held against

    @field_validator("tenants")
    @classmethod
    def _known_tenant_keys(cls, value: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        _TENANTS.validate_python(value)
        return value

    @field_validator("sentinel")
    @classmethod
    def _can_alert(cls, value: SentinelSection, info: ValidationInfo) -> SentinelSection:
        capture, tenants = info.data.get("capture"), info.data.get("tenants")
        if not value.enabled or capture is None or tenants is None:
            return value
        if not capture.enabled:
            raise ValueError("enabled is true and capture.enabled false, so that no answer would be seen")
        bound = tenant_settings(tenants, OWN_TENANT).alerts.resolve_after_seconds / 2
        if value.every_seconds > bound:
            raise ValueError(
                f"every_seconds is {value.every_seconds:g}, the bound is {bound:g}: half of resolve_after_seconds in"
                f' [tenants."{OWN_TENANT}".alerts], so that an alert does not resolve between two answers'
            )
        return value

    def tenant(self, name: str) -> TenantSettings:
        """Return the settings of tenant `name`."""
        return tenant_settings(self.tenants, name)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let the environment, and the files that its variables name, win over the file, which arrives as init arguments."""
        del settings_cls, dotenv_settings, file_secret_settings
        if isinstance(env_settings, EnvSettingsSource):
            ending = SUFFIX.lower()  # the source's names are
            own = {name: value for name, value in env_settings.env_vars.items() if not name.endswith(ending)}
            files = read_files(os.environ, _PREFIX)
            env_settings.env_vars = own | {name.lower(): value for name, value in files.items()}
        return (env_settings, init_settings)


class Loaded(msgspec.Struct, frozen=True, kw_only=True):
    """Settings and where each came from.

    Parameters
    ----------
    settings
        The effective settings; `home` is absolute.
    sources
        Dotted key to ``environment NAME`` or ``file PATH``; a key that is absent has its default.
    config_path
        The file that was read, or None.
    """

    settings: Settings
    sources: dict[str, str]
    config_path: Path | None

    def effective(self) -> dict[str, dict[str, str]]:
        """Return {dotted key: {value, source}}, secrets masked."""
        return {
            key: {"value": _shown(value), "source": self.sources.get(key, "default")}
            for key, value in _flatten(self.settings)
        }


def load_settings() -> Loaded:
    """Read defaults, file and environment.

    Raises
    ------
    SettingsError
        An unknown key, a value out of its bounds, a file that is named and missing or no TOML; the message names it.
    """
    path = _config_path()
    values = _read(path) if path else {}
    _refuse_unknown_environment()
    try:
        settings = Settings(**values)
    except ValidationError as error:
        raise SettingsError(_explain(error, path)) from None
    except SourceError as error:
        raise SettingsError(f"{error}: give it as JSON, or one key at a time as WEIR_<SECTION>__<KEY>") from None
    named = os.environ.get("WEIR_HOME") or read_files(os.environ, _PREFIX).get("WEIR_HOME") or values.get("home")
    home = Path(named or ".weir")
    beside = path.parent if path else Path.cwd()
    settings = settings.model_copy(update={"home": home if home.is_absolute() else (beside / home).resolve()})
    return Loaded(settings=settings, sources=_sources(values, path), config_path=path)


def _config_path() -> Path | None:
    named = os.environ.get("WEIR_CONFIG")
    path = Path(named or "weir.toml").resolve()
    if path.is_file():
        return path
    if named:
        raise SettingsError(f"WEIR_CONFIG names {path}, which is no file; create it or unset WEIR_CONFIG")
    return None


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is no TOML: {error}") from None


def _environment_keys() -> dict[str, str]:
    """Return {dotted key: variable} of the variables that set something."""
    names = [name for name in os.environ if name.startswith(_PREFIX) and name not in _CONTROL]
    direct = [name for name in names if not name.endswith(SUFFIX)]
    return {name.removeprefix(_PREFIX).lower().replace("__", "."): name for name in direct} | files_of(
        os.environ, _PREFIX
    )


def _refuse_unknown_environment() -> None:
    for key, name in _environment_keys().items():
        section = key.split(".")[0]
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
        where = variables.get(".".join(parts)) or (str(path) if path else "the defaults")
        lines.append(f"{redacted(key_of(parts))} ({where}){_what(parts, item)}")
    return "\n".join(lines)


def key_of(parts: Sequence[str]) -> str:
    """Return a dotted key as the file has it, the pattern of a tenant quoted: ``tenants."acme-*".bucket_seconds``."""
    return ".".join(f'"{part}"' if place == 1 and parts[0] == "tenants" else part for place, part in enumerate(parts))


def _what(parts: Sequence[str], item: ErrorDetails) -> str:
    """Say what is wrong with a key: its value, where that is one and no secret, its bound, and the remedy."""
    section = _section(parts[:-1])
    if item["type"] == "extra_forbidden" or (section is TenantSettings and parts[-1] not in section.model_fields):
        tables = ", and a table of options for each stream detector" if section is TenantSettings else ""
        return f": unknown key; known here are {', '.join(section.model_fields)}{tables}. Rename or remove it"
    field = section.model_fields.get(parts[-1])
    value = (
        "********" if field is not None and field.annotation is SecretStr else repr(_without_credentials(item["input"]))
    )
    is_value = isinstance(item["input"], str | int | float) and item["type"] != "model_type"
    return f"{f' is {value}' if is_value else ''}: {item['msg']}; set it within that, or unset it"


def _without_credentials(value: Any) -> Any:
    return redacted(value) if isinstance(value, str) else value


def _section(parts: Sequence[str]) -> type[BaseModel]:
    """Return the innermost section that `parts` lead into."""
    section: type[BaseModel] = Settings
    if parts[:1] == ["tenants"]:
        section, parts = TenantSettings, parts[2:]
    for part in parts:
        field = section.model_fields.get(part)
        kinds = () if field is None else (field.annotation, *get_args(field.annotation))
        section = next((kind for kind in kinds if isinstance(kind, type) and issubclass(kind, BaseModel)), section)
    return section


def _sources(values: Mapping[str, Any], path: Path | None) -> dict[str, str]:
    found = {key: f"file {path}" for key, _ in _flatten_mapping(values)}
    found |= {key: f"environment {name}" for key, name in _environment_keys().items()}
    found |= {key: f"file {os.environ[name]} of {name}" for key, name in files_of(os.environ, _PREFIX).items()}
    if "WEIR_HOME" in os.environ:
        found["home"] = "environment WEIR_HOME"
    return found


def _flatten(model: BaseModel, prefix: str = "") -> list[tuple[str, Any]]:
    return _flatten_mapping({name: getattr(model, name) for name in type(model).model_fields}, prefix)


def _flatten_mapping(values: Mapping[str, Any], prefix: str = "") -> list[tuple[str, Any]]:
    flat: list[tuple[str, Any]] = []
    for name, value in values.items():
        if isinstance(value, BaseModel):
            flat += _flatten(value, f"{prefix}{name}.")
        elif isinstance(value, Mapping) and value:
            flat += _flatten_mapping(value, f"{prefix}{name}.")
        else:
            flat.append((f"{prefix}{name}", value))
    return flat


def _shown(value: Any) -> str:
    if isinstance(value, SecretStr):
        return "********" if value.get_secret_value() else ""
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
