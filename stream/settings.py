"""Settings of the processes in `stream`. ``weir.settings`` loads them once from the file and the environment."""

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from ssl import SSLError
from typing import Annotated, Any, Literal, Self

from pydantic import ConfigDict, Field, JsonValue, SecretStr, field_validator, model_validator

from stream.address import Link, Servers, Target, TraceLink, WebhookTarget
from stream.errors import BrokerError
from stream.section import Section, by_tenant
from stream.webhook_signature import secret_bytes
from stream.wire.topics import Topic, TopicNames, topic_specs

Positive = Annotated[float, Field(gt=0)]
Seconds = Positive
Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(gt=0, le=1)]
FromZero = Annotated[float, Field(ge=0)]

#: Versions that every detector has: the installed version, and the recorded results in the log.
RESERVED_VARIANTS = ("installed", "recorded")
_VARIANT = re.compile(r"\A[a-z][a-z0-9_-]*@[A-Za-z0-9][A-Za-z0-9._+-]*\Z")


class KafkaSettings(Section):
    """``[kafka]``: the Kafka cluster, and partitions and retention of the topics."""

    bootstrap_servers: Servers = Field("", description="brokers, as host:port[,host:port]; empty: start a local broker")
    broker: Literal["auto", "apache", "embedded"] = Field(
        "auto",
        description="which local broker to start if bootstrap_servers is empty; auto: the one whose data the home has, else Apache Kafka if its jars or Maven are installed",
    )
    topic_prefix: str = Field("weir.", description="prefix of every topic name", pattern=r"^[a-zA-Z0-9._-]{0,100}$")
    partitions: Count = Field(8, description="partitions of inference, verdicts and feedback; fixed at creation")
    stream_partitions: Count = Field(
        4, description="partitions of signals, findings, alerts, retraining and models; fixed at creation"
    )
    retention_hours: Positive = Field(
        168,
        le=1e9,
        description="retention of a partition, in hours; Kafka deletes a record up to an eighth later. Set in existing topics too if Weir started the"
        " broker",
    )
    retention_bytes: Count = Field(
        1024**3,
        description="retention of a partition, in bytes, and up to an eighth more (embedded broker: at most 64 MiB); set as retention_hours",
    )
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = Field(
        "PLAINTEXT", description="security protocol of the clients"
    )
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] = Field(
        "SCRAM-SHA-512", description="SASL mechanism, if security_protocol uses SASL"
    )
    sasl_username: str = Field("", description="SASL user")
    sasl_password: SecretStr = Field(SecretStr(""), description="SASL password; set it in the environment")
    ssl_cafile: str = Field("", description="CA bundle (PEM); empty: the system's")

    @model_validator(mode="after")
    def _protocol_uses_login_and_ca(self) -> Self:
        for key, used in (("sasl_username", "SASL"), ("ssl_cafile", "SSL")):
            if getattr(self, key) and used not in self.security_protocol:
                raise ValueError(
                    f"{key} is set, but security_protocol is {self.security_protocol}, which does not use it; set security_protocol to "
                    f"SASL_SSL or another protocol with {used}, or leave {key} out"
                )
        return self

    @property
    def names(self) -> TopicNames:
        """The topic names, with the prefix of the settings."""
        return TopicNames(self.topic_prefix)

    def topics(self) -> list[Topic]:
        """Return every topic with the settings to create it."""
        return topic_specs(
            self.names,
            inference_partitions=self.partitions,
            stream_partitions=self.stream_partitions,
            retention_ms=round(self.retention_hours * 3_600_000),
            retention_bytes=self.retention_bytes,
        )

    def client_options(self) -> dict[str, Any]:
        """Return the connection arguments of every aiokafka client.

        Raises BrokerError if the CA bundle cannot be used, or if SASL has no user or password.
        """
        options: dict[str, Any] = {
            "bootstrap_servers": self.bootstrap_servers,
            "security_protocol": self.security_protocol,
        }
        if "SSL" in self.security_protocol:
            from aiokafka.helpers import create_ssl_context  # noqa: PLC0415 - only needed with TLS

            try:
                options["ssl_context"] = create_ssl_context(cafile=self.ssl_cafile or None)
            except OSError as error:
                reason = "it contains no certificate" if isinstance(error, SSLError) else error.strerror
                raise BrokerError(
                    f"kafka.ssl_cafile {self.ssl_cafile!r} cannot be used ({reason}); name a readable PEM file with the certificate of "
                    "Kafka's CA"
                ) from None
        if self.security_protocol.startswith("SASL"):
            if not (self.sasl_username and self.sasl_password.get_secret_value()):
                missing = "sasl_password" if self.sasl_username else "sasl_username"
                raise BrokerError(
                    f"kafka.security_protocol is {self.security_protocol!r}, and kafka.{missing} is empty; set kafka.sasl_username, and "
                    "the password in the environment (WEIR_KAFKA__SASL_PASSWORD, or WEIR_KAFKA__SASL_PASSWORD_FILE)"
                )
            options["sasl_mechanism"] = self.sasl_mechanism
            options["sasl_plain_username"] = self.sasl_username
            options["sasl_plain_password"] = self.sasl_password.get_secret_value()
        return options


class DetectorSettings(Section):
    """``[detectors]``: the enabled text detectors, and their options by name (``[detectors.options.pii]``)."""

    input: tuple[str, ...] = Field(("pii", "toxicity", "injection", "tools"), description="detectors of prompts")
    output: tuple[str, ...] = Field(("pii", "toxicity", "refusal", "tools"), description="detectors of answers")
    options: dict[str, dict[str, JsonValue]] = Field(
        default_factory=dict, description="options of each detector, by name"
    )
    variants: dict[str, dict[str, JsonValue]] = Field(
        default_factory=dict,
        description='options of `weir replay` that override the others, by NAME@VARIANT (`[detectors.variants."pii@strict"]`)',
    )
    context_characters: Annotated[int, Field(ge=0, le=32_768)] = Field(
        0,
        description="maximum characters of the prompt in the record of its answer, for detectors that compare both",
    )
    embedding_sample: Share = Field(
        1.0, description="share of events (by a hash of their id) whose embeddings drift reads"
    )

    @field_validator("variants")
    @classmethod
    def _named_variants(cls, value: dict[str, dict[str, JsonValue]]) -> dict[str, dict[str, JsonValue]]:
        wrong = [name for name in value if not _VARIANT.match(name) or name.split("@")[1] in RESERVED_VARIANTS]
        if wrong:
            raise ValueError(
                f"{wrong[0]!r} is not NAME@VARIANT, such as toxicity@strict; {' and '.join(RESERVED_VARIANTS)} are reserved"
            )
        return value


#: More model processes on one machine would wait for the worker, which reads and publishes every event.
MOST_PROCESSES = 4
_CPU_LIMIT = Path("/sys/fs/cgroup/cpu.max")


def usable_cores() -> int:
    """Return the number of cores that this process may use: the smaller of its CPU affinity and its container's limit."""
    cores = len(os.sched_getaffinity(0))
    try:
        quota, period = _CPU_LIMIT.read_text(encoding="ascii").split()
        return max(1, min(cores, int(quota) // int(period)))
    except (OSError, ValueError):  # no cgroup v2, or no limit ("max")
        return cores


class ScoreSettings(Section):
    """``[score]``: the scoring workers."""

    batch_events: Count = Field(32, description="maximum events per batch")
    outstanding_events: Count = Field(256, description="maximum events that are read and not acknowledged")
    deadline_seconds: Seconds = Field(
        30,
        description="time limit of a batch; a batch of more than 131,072 characters is split first. A late batch is halved until one event is left, which becomes a dead letter. A timeout ends the model process, and the new process loads its models for seconds: set a multiple of the time of the slowest batch",
    )
    precision: Literal["auto", "float32", "bfloat16", "int8"] = Field(
        "auto",
        description="numeric type of the encoder and the embedding; auto: bfloat16 if the first score worker's processor supports it, else float32; compute.json in the home keeps the choice. If workers have different homes, do not use auto: all workers must use the same type",
    )
    device: Literal["auto", "cpu", "cuda"] = Field(
        "cpu",
        description="where the encoder and the embedding run; auto: cuda if the first score worker has a GPU, kept in compute.json",
    )
    threads: Count = Field(1, description="threads of each model process")
    workers: Annotated[int, Field(ge=0)] = Field(
        0, description="model processes of the score worker; 0: one for every two cores, at least 1 and at most 4"
    )
    explain_findings: Annotated[int, Field(ge=0)] = Field(
        3,
        description="maximum explained toxicity and injection findings, per stream and detector in 5 minutes; 0: none",
    )

    @property
    def processes(self) -> int:
        """Number of model processes: `workers`, or if it is 0, a number for the cores that this process may use."""
        return self.workers or max(1, min(MOST_PROCESSES, usable_cores() // 2))


class AlertSettings(Section):
    """The rules for opening, updating and resolving the alert of one stream and detector."""

    open_windows: Count = Field(1, description="consecutive windows in alarm that open an alert of a stream detector")
    # A stage runs as many empty windows of each idle stream.
    close_windows: Annotated[int, Field(ge=1, le=10_000)] = Field(
        3, description="consecutive windows without alarm that resolve such an alert"
    )
    resolve_after_seconds: Seconds = Field(
        300,
        description="event time without a finding that resolves an alert; for a stream detector, the shortest such time",
    )
    critical_findings: Count = Field(20, description="findings that make an alert critical")
    update_seconds: Seconds = Field(10, description="event time between two records of a firing alert")
    threshold: dict[str, Share] = Field(
        default_factory=dict,
        description="lowest score of a finding that counts, by text detector (`{toxicity = 0.7}`); has an effect only above the detector's own threshold",
    )


class AccuracySettings(Section):
    """The rules by which the accuracy of a model's labelled answers counts as fallen."""

    reference_events: Count = Field(
        200, description="number of first labelled answers, whose accuracy is the reference"
    )
    margin: Share = Field(
        0.05,
        description="a fall of the accuracy by at most this much, plus the reference's standard error, opens no alert",
    )
    alarm_every_events: Count = Field(10_000, description="at most one false alarm in this many labelled answers")


class RetrainingSettings(Section):
    """The conditions that alerts must meet before retraining is requested."""

    agreeing_alerts: Count = Field(2, description="minimum detectors with firing alerts, drift included")
    windows: Count = Field(3, description="minimum windows with findings of one of these alerts")
    events: Count = Field(200, description="minimum events of these alerts")
    principals: Count = Field(3, description="minimum API keys of these events; an alert names at most 32")
    largest_share: Share = Field(0.5, description="maximum share of one API key in these events")
    sentinels: bool = Field(
        True, description="do not retrain if the answers to the fixed prompts changed too (`Alert.sentinels`)"
    )
    cool_down_seconds: FromZero = Field(86_400, description="minimum event time between two retraining requests")


class TenantSettings(Section):
    """``[tenants."name or pattern"]``: settings of tenants; later matching tables override earlier matching tables.

    A table with the name of a stream detector (``[tenants."acme".drift]``) contains the options of that detector. This
    module does not import the registry of detectors, so names and options are checked in the processes that run
    detectors (`weir.settings.detector_options`).
    """

    model_config = ConfigDict(frozen=True, extra="allow")
    __pydantic_extra__: dict[str, dict[str, Any]] = Field(init=False)

    bucket_seconds: Seconds = Field(30, description="width of a stream detector's window, in event time")
    drift_by_part: bool = Field(
        False, description="true: stream detectors read users' turns, tool results and answers as separate streams"
    )
    tool_names: bool = Field(
        False,
        description="true: signals, findings and alerts of tool_mix name the declared tools, whose names clients choose; false: they contain only the group of a name",
    )
    alerts: AlertSettings = Field(AlertSettings(), description="how findings become an alert")
    accuracy: AccuracySettings = Field(AccuracySettings(), description="when the accuracy of labelled answers fell")
    retraining: RetrainingSettings = Field(RetrainingSettings(), description="the conditions for retraining")

    def detector_options(self, name: str) -> dict[str, Any]:
        """Return the options of the stream detector `name`."""
        return self.__pydantic_extra__.get(name, {})


class WatchSettings(Section):
    """``[watch]``: windows and watermarks."""

    source_silence_seconds: Seconds = Field(
        60, description="event time without a tick after which the watermark ignores a source"
    )
    outstanding_events: Count = Field(50_000, description="maximum events in a worker's open windows")


class LedgerSettings(Section):
    """``[ledger]``: the limits of the alerts about Weir itself."""

    lag_seconds: Seconds = Field(60, description="lag of verdicts behind inference that opens a lag alert")
    silence_seconds: Seconds = Field(
        30, description="time without a tick of any source after which the stack is unhealthy"
    )
    gap_resolve_seconds: Seconds = Field(
        300, description="event time without a new gap record that resolves a gap alert"
    )
    silent_events: Count = Field(
        20, description="consecutive missing or failed verdicts of a detector that open an alert"
    )
    silent_seconds: Seconds = Field(
        60, description="minimum event time between the first and the last of these verdicts"
    )


class WebhookSettings(Section):
    """``[bridge.webhooks.NAME]``: a webhook, and the alerts that it receives."""

    url: WebhookTarget = Field(
        description="URL for the POST requests; the bridge sends user:password@ in the URL and never shows it, and masks the path"
    )
    secret: SecretStr = Field(description="key of the signatures: whsec_ and base64 (Standard Webhooks)")
    tenants: str = Field("*", description="tenant, or pattern of tenants")
    severity: Literal["info", "warning", "critical"] = Field("warning", description="lowest severity")

    @field_validator("secret")
    @classmethod
    def _is_key(cls, value: SecretStr) -> SecretStr:
        secret_bytes(value.get_secret_value())
        return value


class BridgeSettings(Section):
    """``[bridge]``: notifications to Alertmanagers and webhooks. The bridge runs if a target is configured."""

    alertmanagers: tuple[Target, ...] = Field(
        (),
        description="base URLs of the Alertmanagers, each of one Alertmanager and not of a load balancer; the bridge sends user:password@ "
        "in a URL and never shows it",
    )
    resend_seconds: Annotated[float, Field(ge=30, le=180)] = Field(
        60,
        description="time between two posts of a firing alert; Alertmanager resolves an alert after four missed posts",
    )
    service: str = Field(
        "weir",
        description="label `service` of the alerts, which separates several stacks at one Alertmanager",
        min_length=1,
    )
    runbook_url: Link = Field("docs/runbook.md", description="URL of docs/runbook.md in alerts")
    trace_url: TraceLink = Field("", description="URL of a trace, with {trace_id}; empty: as `view` of [trace]")
    webhooks: dict[Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,40}$")], WebhookSettings] = Field(
        default_factory=dict,
        description='webhooks by name, each with url, secret, tenants (default "*") and severity (lowest; default "warning")',
    )

    @property
    def enabled(self) -> bool:
        """Whether an Alertmanager or a webhook is configured."""
        return bool(self.alertmanagers or self.webhooks)


def tenant_settings(tenants: Mapping[str, Mapping[str, Any]], tenant: str) -> TenantSettings:
    """Return the settings of `tenant`: the defaults, overridden by each matching pattern in order."""
    return cached_tenant_settings(tenants)(tenant)


def cached_tenant_settings(tenants: Mapping[str, Mapping[str, Any]]) -> Callable[[str], TenantSettings]:
    """Return a function from tenant to settings, as :func:`tenant_settings`, which computes the settings of a tenant only once."""
    return by_tenant(TenantSettings, tenants)
