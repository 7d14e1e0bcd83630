"""All settings: the sections of stream and serving, and the sections that only ``weir`` reads, with their defaults."""

import os
from collections import Counter
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, JsonValue, TypeAdapter, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from serving.gateway.tenant_settings import ConsistencySettings, GuardSettings
from serving.settings import CaptureSettings, HttpSettings, IntakeSettings, ModelSettings
from stream.address import Address, Host, Link, TraceLink
from stream.archive.settings import ArchiveSettings
from stream.loop.settings import DeliveryProcessSettings, LoopSettings, TrainSettings
from stream.section import Section, TenantTables
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
from weir.settings.secret_files import PREFIX, SUFFIX, read_files


class TenantTable(TenantSettings):
    """``[tenants."name or pattern"]``: settings of the stages and the loop, and of the guard and `consistency`, which only serving reads."""

    guard: GuardSettings = Field(GuardSettings(), description="checks answers while they are generated")
    consistency: ConsistencySettings = Field(
        ConsistencySettings(), description="asks the model again, for the detector `consistency`"
    )
    loop: LoopSettings = Field(LoopSettings(), description="datasets, training, gate and delivery of new versions")


_TENANTS = TypeAdapter(dict[str, TenantTable])


class TraceSection(Section):
    """``[trace]``: export of spans."""

    endpoint: Address = Field(
        Address(""),
        description="OTLP/HTTP URL for traces; Weir sends user:password@ in the URL and never shows it; empty: the local MLflow, if it runs",
    )
    ratio: Annotated[float, Field(ge=0, le=1)] = Field(1.0, description="share of new traces that are exported")
    view: TraceLink = Field(
        "",
        description="URL of a trace's page, with {trace_id} (http://127.0.0.1:16686/trace/{trace_id}); empty: the local MLflow's, or no links if `endpoint` is set",
    )


class MlflowSection(Section):
    """``[mlflow]``: the local trace view."""

    enabled: bool = Field(True, description="start MLflow with the stack")
    retain_hours: Annotated[int, Field(ge=1, le=100_000)] = Field(
        168,
        description="hours for which the local MLflow keeps a trace (about 12 KB); a shorter time or a smaller `[trace] ratio` saves disk",
    )
    tracking_uri: Link = Field(
        "",
        description="URL of the MLflow server that lists trained versions and their aliases; empty: the local MLflow, if it runs",
        pattern=r"^$|^https?://\S+$",
    )


class ConsoleSection(Section):
    """``[console]``: the web console, which the ledger's process serves."""

    enabled: bool = Field(True, description="serve the console in the ledger's process")
    host: Host = Field("127.0.0.1", description="address to listen on; plain HTTP, so loopback by default")
    port: Annotated[int, Field(ge=0, le=65535)] = Field(
        0,
        description="port to listen on; 0: a free port, kept in ports.json. Set a number if the process has its own container",
    )
    names: tuple[Annotated[str, Field(pattern=r"^[^\s/]+$")], ...] = Field(
        (),
        description="further names (or name:port) that the console accepts as the host of a request, for example behind a published port; links use the first name",
    )


class MetricsSection(Section):
    """``[metrics]``: the address at which a process serves ``/metrics``, ``/healthz`` and ``/livez``."""

    host: Host = Field("127.0.0.1", description="address to listen on; loopback by default")
    port: Annotated[int, Field(ge=0, le=65535)] = Field(
        0,
        description="port to listen on; 0: a free port, kept in ports.json. Set a number if the process has its own container",
    )
    serving_port: Annotated[int, Field(ge=0, le=65535)] = Field(
        0,
        description="second metrics port of gateways and model replicas, at `host`; set it only if each of them runs in its own container, as under KubeRay; 0: none",
    )


class SentinelSection(Section):
    """``[sentinel]``: Weir's own fixed prompts; off by default, because they use the model's time."""

    enabled: bool = Field(
        False, description="send the fixed prompts, to distinguish a change of the model from a change of its inputs"
    )
    every_seconds: Annotated[float, Field(ge=1)] = Field(
        60, description="time between two prompts; at most half of tenant _weir's alerts.resolve_after_seconds"
    )
    max_tokens: Annotated[int, Field(ge=1, le=1024)] = Field(32, description="maximum tokens of an answer")
    bias: bool = Field(
        True, description="also send pairs of prompts that differ in one identity term, for the detector `bias`"
    )
    bias_every_seconds: Annotated[float, Field(ge=1)] = Field(120, description="time between two pairs")
    bias_max_tokens: Annotated[int, Field(ge=16, le=1024)] = Field(
        128, description="maximum tokens of an answer to a prompt of a pair; a low limit hides differences of length"
    )


class Settings(BaseSettings):
    """All settings, frozen."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", frozen=True, extra="forbid", case_sensitive=False
    )

    home: Path = Field(
        Path(".weir"),
        description="folder that a running stack writes to; beside weir.toml, else in the current folder",
    )
    kafka: KafkaSettings = KafkaSettings()
    http: HttpSettings = HttpSettings()
    model: ModelSettings = ModelSettings()
    models: dict[str, ModelSettings] = Field(
        default_factory=dict, description="several served models, by the names that clients use; replaces [model]"
    )
    capture: CaptureSettings = CaptureSettings()
    intake: IntakeSettings = IntakeSettings()
    detectors: DetectorSettings = DetectorSettings()
    score: ScoreSettings = ScoreSettings()
    watch: WatchSettings = WatchSettings()
    ledger: LedgerSettings = LedgerSettings()
    bridge: BridgeSettings = BridgeSettings()
    train: TrainSettings = TrainSettings()
    archive: ArchiveSettings = ArchiveSettings()
    delivery: DeliveryProcessSettings = DeliveryProcessSettings()
    trace: TraceSection = TraceSection()
    mlflow: MlflowSection = MlflowSection()
    metrics: MetricsSection = MetricsSection()
    console: ConsoleSection = ConsoleSection()
    # Not Any: the source of variables reads a list or a table only if the type can have one.
    tenants: dict[str, dict[str, JsonValue]] = Field(
        default_factory=dict, description="settings by tenant name or pattern"
    )
    sentinel: SentinelSection = SentinelSection()  # its validator reads capture and tenants

    def served_models(self) -> dict[str, ModelSettings]:
        """Return the served models by the names that clients use: those of ``[models]``, or else that of ``[model]``."""
        return self.models or {self.model.name: self.model}

    @property
    def first_model(self) -> str:
        """Name of the first served model, which Weir's own requests use."""
        return next(iter(self.served_models()))

    @property
    def largest_body_bytes(self) -> int:
        """The limit of a request body: that of requests with images if a served model takes images."""
        takes_images = any(model.images for model in self.served_models().values())
        return max(self.http.max_body_bytes, self.http.max_image_body_bytes if takes_images else 0)

    @field_validator("models", mode="before")
    @classmethod
    def _named_models(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {name: {"name": name} | table if isinstance(table, dict) else table for name, table in value.items()}

    @field_validator("models")
    @classmethod
    def _one_form_of_models(cls, value: dict[str, ModelSettings], info: ValidationInfo) -> dict[str, ModelSettings]:
        single = info.data.get("model")
        if not value or single is None:
            return value
        if misplaced := single.model_fields_set - {"cache"}:
            named = ", ".join(f"model.{name}" for name in sorted(misplaced))
            raise ValueError(f"{named} is set too, but [models] replaces [model]; move it into a table of [models]")
        return {
            name: model if model.cache else model.model_copy(update={"cache": single.cache})
            for name, model in value.items()
        }

    @field_validator("models")
    @classmethod
    def _different_names(cls, value: dict[str, ModelSettings]) -> dict[str, ModelSettings]:
        names = Counter(name for model, table in value.items() for name in (model, *table.lora))
        if repeated := next((name for name, number in names.items() if number > 1), None):
            raise ValueError(
                f"{repeated!r} is the name of two models or LoRA adapters, so clients could use only one of them; rename one"
            )
        return value

    @field_validator("watch", "ledger")
    @classmethod
    def _two_ticks_until_silence(cls, value: Section, info: ValidationInfo) -> Section:
        key = "source_silence_seconds" if info.field_name == "watch" else "silence_seconds"
        capture, seconds = info.data.get("capture"), getattr(value, key)
        if capture is not None and seconds < 2 * capture.tick_seconds:
            raise ValueError(
                f"{key} is {seconds:g}, and capture.tick_seconds is {capture.tick_seconds:g}; set {key} to at least twice"
                " capture.tick_seconds"
            )
        return value

    @field_validator("tenants")
    @classmethod
    def _known_tenant_keys(cls, value: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        _TENANTS.validate_python(value)
        # Tables of several patterns can be valid alone, but not together.
        tables = TenantTables(value)
        _TENANTS.validate_python({name: tables.of(name) for name in value})
        return value

    @field_validator("tenants")
    @classmethod
    def _compared_answers(cls, value: dict[str, dict[str, Any]], info: ValidationInfo) -> dict[str, dict[str, Any]]:
        detectors = info.data.get("detectors")
        shares = {name: table.get("consistency", {}).get("share", 0) for name, table in value.items()}
        asked = next((name for name, share in shares.items() if float(share) > 0), None)
        if detectors is not None and asked is not None and "consistency" not in detectors.output:
            raise ValueError(
                f'[tenants."{asked}".consistency] share is {shares[asked]}, but no detector would compare the answers; add "consistency" to detectors.output'
            )
        return value

    @field_validator("sentinel")
    @classmethod
    def _can_alert(cls, value: SentinelSection, info: ValidationInfo) -> SentinelSection:
        capture, tenants = info.data.get("capture"), info.data.get("tenants")
        if not value.enabled or capture is None or tenants is None:
            return value
        if not capture.enabled:
            raise ValueError(
                "enabled is true, but capture.enabled is false, so no answer would be recorded; set capture.enabled to true, or "
                "sentinel.enabled to false"
            )
        bound = tenant_settings(tenants, OWN_TENANT).alerts.resolve_after_seconds / 2
        if value.every_seconds > bound:
            raise ValueError(
                f"every_seconds is {value.every_seconds:g}, the limit is {bound:g}: half of resolve_after_seconds in"
                f' [tenants."{OWN_TENANT}".alerts], so that an alert does not resolve between two answers'
            )
        return value

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order the sources by priority: environment variables and the files that they name, then weir.toml (`init_settings`)."""
        del settings_cls, dotenv_settings, file_secret_settings
        if isinstance(env_settings, EnvSettingsSource):
            suffix = SUFFIX.lower()  # as the names of this source
            direct = {name: value for name, value in env_settings.env_vars.items() if not name.endswith(suffix)}
            files = read_files(os.environ)
            env_settings.env_vars = direct | {name.lower(): value for name, value in files.items()}
        return (env_settings, init_settings)
