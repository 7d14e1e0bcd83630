"""Choose the broker of a stack, and prepare the command of a local broker."""

from pathlib import Path
from typing import Literal

import msgspec

from stream.settings import KafkaSettings
from weir.local.broker.apache import apache_command
from weir.local.broker.embedded import EMBEDDED_NOTICE, EMBEDDED_RETENTION_BYTES, embedded_command
from weir.local.broker.kafka_jars import apache_available

__all__ = ["BrokerKind", "BrokerLaunch", "BrokerPlan", "launch_broker", "plan_broker"]

BrokerKind = Literal["apache", "embedded"]


class BrokerPlan(msgspec.Struct, frozen=True, kw_only=True):
    """The broker to use; `notice` is a warning to show, or "".

    `kind` is ``given`` if the settings have Kafka's address, else the kind of the local broker.
    """

    kind: Literal["given", "apache", "embedded"]
    notice: str = ""


class BrokerLaunch(msgspec.Struct, frozen=True, kw_only=True):
    """Command and address of a local broker."""

    kind: BrokerKind
    argv: list[str]
    bootstrap: str


def plan_broker(kafka: KafkaSettings) -> BrokerPlan:
    """Choose the broker of the settings; ``auto`` is Apache Kafka if it is available, else the embedded broker."""
    if kafka.bootstrap_servers:
        return BrokerPlan(kind="given")
    if kafka.broker == "apache" or (kafka.broker == "auto" and apache_available()):
        return BrokerPlan(kind="apache")
    missing = "mvn is not on PATH, so Apache Kafka cannot be downloaded; " if kafka.broker == "auto" else ""
    return BrokerPlan(kind="embedded", notice=missing + EMBEDDED_NOTICE)


def launch_broker(kind: BrokerKind, directory: Path, port: int, controller_port: int) -> BrokerLaunch:
    """Prepare a local broker below `directory` and return the command that starts it; raises BrokerError."""
    data = directory / kind
    argv = apache_command(data, port, controller_port) if kind == "apache" else embedded_command(data, port)
    return BrokerLaunch(kind=kind, argv=argv, bootstrap=f"127.0.0.1:{port}")


def retention_bytes(kind: str, kafka: KafkaSettings) -> int:
    """Return the bytes retained per partition; limited for the embedded broker, which keeps all records in memory."""
    return min(kafka.retention_bytes, EMBEDDED_RETENTION_BYTES) if kind == "embedded" else kafka.retention_bytes
