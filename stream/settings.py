"""Settings of the stream's processes; built once by ``weir.settings`` and passed in, never read from the environment here."""

import re
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr, field_validator

from stream.address import Link, Servers, Target
from stream.webhook_signature import secret_bytes
from stream.wire.topics import Topic, TopicNames, topic_specs

__all__ = [
    "RESERVED_VARIANTS",
    "AlertSettings",
    "BridgeSettings",
    "DetectorSettings",
    "KafkaSettings",
    "LedgerSettings",
    "RetrainingSettings",
    "ScoreSettings",
    "TenantSettings",
    "WatchSettings",
    "WebhookSettings",
    "overlay",
    "tenant_settings",
]

Seconds = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(gt=0, le=1)]

#: Versions that every detector has: what is installed here, and what stands in the log.
RESERVED_VARIANTS = ("installed", "recorded")
_VARIANT = re.compile(r"\A[a-z][a-z0-9_-]*@[A-Za-z0-9][A-Za-z0-9._+-]*\Z")


class Section(BaseModel):
    """A section of settings: frozen, and an unknown key is an error that names it."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class KafkaSettings(Section):
    """``[kafka]``: which Kafka, and how the topics are laid out."""

    bootstrap_servers: Servers = Field("", description="host:port[,host:port]; empty starts a local broker")
    broker: Literal["auto", "apache", "embedded"] = Field(
        "auto", description="which local broker to start when none is given"
    )
    topic_prefix: str = Field("weir.", description="put before every topic's name", pattern=r"^[a-zA-Z0-9._-]{0,100}$")
    partitions: Count = Field(8, description="P: partitions of inference, verdicts and feedback; fixed at creation")
    stream_partitions: Count = Field(
        4, description="Q: partitions of signals, findings, alerts, retraining; fixed at creation"
    )
    retention_hours: Annotated[float, Field(gt=0)] = Field(168, description="kept per partition, in hours")
    retention_bytes: Count = Field(
        1024**3, description="kept per partition, in bytes (the embedded broker: at most 64 MiB)"
    )
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="how clients connect"
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "SCRAM-SHA-512", description="with a security_protocol of SASL"
    )
    sasl_username: str = Field("", description="who connects, with SASL")
    sasl_password: SecretStr = Field(SecretStr(""), description="their password; best from the environment")
    ssl_cafile: str = Field("", description="CA bundle (PEM); empty takes the system's")

    @property
    def names(self) -> TopicNames:
        """Topic names under the prefix."""
        return TopicNames(self.topic_prefix)

    def topics(self) -> list[Topic]:
        """Return every topic as it is to be created."""
        return topic_specs(
            self.names,
            inference_partitions=self.partitions,
            stream_partitions=self.stream_partitions,
            retention_ms=round(self.retention_hours * 3_600_000),
            retention_bytes=self.retention_bytes,
        )

    def client_options(self) -> dict[str, Any]:
        """Return the connection arguments that every aiokafka client takes."""
        options: dict[str, Any] = {
            "bootstrap_servers": self.bootstrap_servers,
            "security_protocol": self.security_protocol,
        }
        if "SSL" in self.security_protocol:
            from aiokafka.helpers import create_ssl_context  # noqa: PLC0415 - only where TLS is asked for

            options["ssl_context"] = create_ssl_context(cafile=self.ssl_cafile or None)
        if self.security_protocol.startswith("SASL"):
            options["sasl_mechanism"] = self.sasl_mechanism
            options["sasl_plain_username"] = self.sasl_username
            options["sasl_plain_password"] = self.sasl_password.get_secret_value()
        return options


class DetectorSettings(Section):
    """``[detectors]``: which detectors are owed a verdict, and their options by name (``[detectors.options.pii]``)."""

    input: tuple[str, ...] = Field(("pii", "toxicity", "injection"), description="detectors of prompts")
    output: tuple[str, ...] = Field(("pii", "toxicity", "refusal"), description="detectors of answers")
    options: dict[str, dict[str, Any]] = Field(default_factory=dict, description="options of each detector, by name")
    variants: dict[str, dict[str, Any]] = Field(
        default_factory=dict,
        description='options that `weir replay` lays over the current ones, by NAME@VARIANT (`[detectors.variants."pii@strict"]`)',
    )
    context_characters: Annotated[int, Field(ge=0, le=32_768)] = Field(
        0, description="characters of its prompt that each answer's record carries, for detectors that compare the two"
    )
    embedding_sample: Share = Field(1.0, description="share of events, chosen by a hash of their id, that drift sees")

    @field_validator("variants")
    @classmethod
    def _named_variants(cls, value: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
        wrong = [name for name in value if not _VARIANT.match(name) or name.split("@")[1] in RESERVED_VARIANTS]
        if wrong:
            raise ValueError(
                f"{wrong[0]!r} is no NAME@VARIANT, such as toxicity@strict; {' and '.join(RESERVED_VARIANTS)} are taken"
            )
        return value


class ScoreSettings(Section):
    """``[score]``: the scoring workers."""

    batch_events: Count = Field(32, description="events in one micro-batch, at most")
    batch_wait_seconds: Annotated[float, Field(ge=0)] = Field(0.02, description="how long a batch waits to fill")
    outstanding_events: Count = Field(256, description="events read and not yet acknowledged, at most")
    deadline_seconds: Seconds = Field(
        30, description="a batch that takes longer is bisected; its culprit is a dead letter"
    )
    threads: Count = Field(1, description="torch threads of each model process")
    workers: Count = Field(1, description="model processes of one score worker")
    explain_findings: Annotated[int, Field(ge=0)] = Field(
        3,
        description="toxicity and injection findings of a stream that are explained in five minutes of log time; 0: none",
    )
    explain_seconds: Seconds = Field(
        60,
        description="an explanation that found no idle moment for so long after its finding is left out, and counted",
    )


class AlertSettings(Section):
    """How findings become an alert of one stream and detector."""

    open_windows: Count = Field(
        1, description="consecutive closed buckets in alarm that open an alert of a stream detector"
    )
    close_windows: Count = Field(3, description="consecutive closed buckets without alarm that resolve it")
    resolve_after_seconds: Seconds = Field(
        300, description="log time without a finding that resolves an alert of single events"
    )
    critical_findings: Count = Field(20, description="findings of one alert that make it critical")
    update_seconds: Seconds = Field(10, description="log time between two records of an alert that goes on firing")


class RetrainingSettings(Section):
    """The gates between an alert and a retraining event (faults.md, retraining facts)."""

    agreeing_alerts: Count = Field(2, description="firing alerts of different detectors, drift among them")
    windows: Count = Field(3, description="distinct windows with findings, over the agreeing alerts")
    events: Count = Field(200, description="events behind the agreeing alerts")
    principals: Count = Field(3, description="distinct API keys behind those events")
    largest_share: Share = Field(0.5, description="share of one API key in those events, at most")
    sentinels: bool = Field(
        True,
        description="whether an alert of drift for which the fixed prompts moved too (`Alert.sentinels`) is no reason to retrain",
    )
    cool_down_seconds: Annotated[float, Field(ge=0)] = Field(86_400, description="log time between two requests")


class TenantSettings(Section):
    """``[tenants."name or pattern"]``: what may differ by tenant; patterns are merged in their order, the last wins.

    A table with the name of a stream detector (``[tenants."acme".drift]``) has its options; the registry is not imported here, so
    names and options are checked where detectors run (`weir.settings.detector_options`).
    """

    model_config = ConfigDict(frozen=True, extra="allow")
    __pydantic_extra__: dict[str, dict[str, Any]] = Field(init=False)

    bucket_seconds: Seconds = Field(30, description="width of a stream detector's window, in log time")
    alerts: AlertSettings = Field(AlertSettings(), description="how findings become an alert")
    retraining: RetrainingSettings = Field(RetrainingSettings(), description="the gates of retraining")

    def detector_options(self, name: str) -> dict[str, Any]:
        """Return the options of the stream detector `name`."""
        return self.__pydantic_extra__.get(name, {})


class WatchSettings(Section):
    """``[watch]``: windows and watermarks."""

    source_silence_seconds: Seconds = Field(
        60, description="log time after which a silent source no longer holds the watermark"
    )
    outstanding_events: Count = Field(50_000, description="events of open buckets held per worker, at most")
    watchdog_seconds: Seconds = Field(
        60, description="a worker with lag and no progress for so long ends, to be started anew"
    )


class LedgerSettings(Section):
    """``[ledger]``: coverage, gaps, lag, silence, and time that stands still."""

    lag_seconds: Seconds = Field(60, description="verdicts behind inference by more is a lag alert")
    silence_seconds: Seconds = Field(30, description="wall clock without any tick after which the stack is unhealthy")
    gap_resolve_seconds: Seconds = Field(300, description="log time without a new gap record that resolves a gap alert")
    silent_events: Count = Field(
        20, description="owed events in a row without an answer of a detector, or with errors alone, that are a silence"
    )
    silent_seconds: Seconds = Field(60, description="log time between the first and the last of them, at least")


class WebhookSettings(Section):
    """``[bridge.webhooks.NAME]``: who is told of alerts, and of which."""

    url: Target = Field(description="where alerts are posted to; user:password@ in it are sent and never shown")
    secret: SecretStr = Field(description="whsec_ and base64: the key of the signatures (Standard Webhooks)")
    tenants: str = Field("*", description="tenant, or pattern of tenants, whose alerts it is told")
    severity: Literal["info", "warning", "critical"] = Field("warning", description="the least that it is told")

    @field_validator("secret")
    @classmethod
    def _is_key(cls, value: SecretStr) -> SecretStr:
        secret_bytes(value.get_secret_value())
        return value


class BridgeSettings(Section):
    """``[bridge]``: who else is told of alerts. Runs where an Alertmanager or a webhook is named."""

    alertmanagers: tuple[Target, ...] = Field(
        (), description="base addresses of Alertmanagers, each told all; user:password@ in one are sent and never shown"
    )
    resend_seconds: Annotated[float, Field(ge=30, le=180)] = Field(
        60, description="between two posts of what goes on firing; without four of them it ends there"
    )
    service: str = Field("weir", description="label `service`: tells stacks apart at one Alertmanager", min_length=1)
    runbook_url: Link = Field("docs/runbook.md", description="where docs/runbook.md can be read")
    trace_url: Link = Field(
        "", description="address of a trace, with {trace_id}; empty: the local MLflow, where it runs"
    )
    webhooks: dict[Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,40}$")], WebhookSettings] = Field(
        default_factory=dict, description="webhooks by name"
    )

    @property
    def enabled(self) -> bool:
        """Whether there is anybody to tell."""
        return bool(self.alertmanagers or self.webhooks)


def tenant_settings(tenants: Mapping[str, Mapping[str, Any]], tenant: str) -> TenantSettings:
    """Return the settings of `tenant`: the defaults, overlaid by every matching pattern in its order."""
    merged: dict[str, Any] = {}
    for pattern, values in tenants.items():
        if fnmatchcase(tenant, pattern):
            merged = overlay(merged, values)
    return TenantSettings.model_validate(merged)


def overlay(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with `over` laid on it, table by table."""
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        merged[key] = overlay(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged
