"""Decide which broker a stack uses, and how a local one is started."""

from pathlib import Path
from typing import Literal

import msgspec

from stream.settings import KafkaSettings
from weir.local.broker.apache import apache_command
from weir.local.broker.embedded import EMBEDDED_LACKS, EMBEDDED_RETENTION_BYTES, embedded_command
from weir.local.broker.kafka_jars import apache_possible

__all__ = ["DEFAULT_MAX_MESSAGE_BYTES", "BrokerKind", "BrokerLaunch", "BrokerPlan", "launch_broker", "plan_broker"]

BrokerKind = Literal["apache", "embedded"]
DEFAULT_MAX_MESSAGE_BYTES = 2 * 1024 * 1024


class BrokerPlan(msgspec.Struct, frozen=True, kw_only=True):
    """Which broker, and what a person should know of the choice.

    Parameters
    ----------
    kind
        ``given``: an address in the settings, nothing is started; else the local one to start.
    notice
        Said at the start; empty where there is nothing to say.
    """

    kind: Literal["given", "apache", "embedded"]
    notice: str = ""


class BrokerLaunch(msgspec.Struct, frozen=True, kw_only=True):
    """A local broker, ready to be started: what to run, and where it will answer."""

    kind: BrokerKind
    argv: list[str]
    bootstrap: str


def plan_broker(kafka: KafkaSettings) -> BrokerPlan:
    """Choose: a given address wins, then the kind that the settings name, then Apache Kafka where Maven can fetch it."""
    if kafka.bootstrap_servers:
        return BrokerPlan(kind="given")
    if kafka.broker == "apache" or (kafka.broker == "auto" and apache_possible()):
        return BrokerPlan(kind="apache")
    missing = "mvn is not on PATH, so Apache Kafka cannot be fetched; " if kafka.broker == "auto" else ""
    return BrokerPlan(kind="embedded", notice=missing + EMBEDDED_LACKS)


def launch_broker(  # noqa: PLR0913 - what one node is told, by name
    kind: BrokerKind,
    directory: Path,
    port: int,
    controller_port: int,
    *,
    max_message_bytes: int = DEFAULT_MAX_MESSAGE_BYTES,
    advertised_port: int | None = None,
) -> BrokerLaunch:
    """Prepare a local broker (jars, properties, format) below `directory` and return its command.

    Parameters
    ----------
    kind, directory
        Which, and where its data lies.
    port, controller_port
        Where it listens, on loopback.
    max_message_bytes
        The largest batch that it takes (Apache Kafka).
    advertised_port
        What clients are told to connect to (Apache Kafka); None: `port`. A proxy's, for one that stands between.

    Raises
    ------
    BrokerError
        Something that this kind needs is missing; the message names the remedy.
    """
    where = directory / kind
    if kind == "apache":
        argv = apache_command(
            where, port, controller_port, max_message_bytes=max_message_bytes, advertised_port=advertised_port
        )
    else:
        argv = embedded_command(where, port)
    return BrokerLaunch(kind=kind, argv=argv, bootstrap=f"127.0.0.1:{port}")


def retention_bytes(kind: str, kafka: KafkaSettings) -> int:
    """Return the bytes kept per partition: the embedded broker holds them in memory, so it is capped."""
    return min(kafka.retention_bytes, EMBEDDED_RETENTION_BYTES) if kind == "embedded" else kafka.retention_bytes
