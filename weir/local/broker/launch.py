"""Choose the broker of a stack, and prepare the command of a local broker.

The embedded broker is the Kafka service of the PyPI package ``noida-db`` on loopback, for machines without Maven.
"""

import os
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, get_args

import msgspec

from stream.errors import BrokerError
from stream.settings import KafkaSettings
from weir.local.broker.apache import apache_command
from weir.local.broker.kafka_jars import apache_available

BrokerKind = Literal["apache", "embedded"]
EMBEDDED_RETENTION_BYTES = 64 * 1024 * 1024
EMBEDDED_NOTICE = (
    "the embedded broker (noida-db) is for trying Weir out: it keeps all records in memory; it saves them about once a second, so "
    "a crash may lose a second of acknowledged records; it has one node and no access control; a second score or watch "
    "process can stop the processing of all records. "
    "For Apache Kafka, install the Debian package `maven` and start with a new WEIR_HOME, because a home keeps its broker"
)


def embedded_command(directory: Path, port: int) -> list[str]:
    """Return the argv that runs only the Kafka service; raises BrokerError if the package is not installed."""
    found = find_spec("noida_db")
    binary = Path(found.origin).with_name("noida-db") if found and found.origin else None
    if binary is None or not binary.is_file():
        raise BrokerError(
            "the embedded broker is the PyPI package noida-db, which is not installed; install weir-llm[local], "
            "or set WEIR_KAFKA__BOOTSTRAP_SERVERS to a Kafka of your own"
        )
    if not os.access(binary, os.X_OK):  # only its owner may change its mode, and root may have installed it
        binary.chmod(0o755)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    listener = ["--host", "127.0.0.1", "--only", "kafka", "--kafka-port", str(port)]
    return [str(binary), "start", "--data-dir", str(directory), *listener]


class BrokerPlan(msgspec.Struct, frozen=True, kw_only=True):
    """The broker to use; `notice` is a warning to show, or "".

    `kind` is ``given`` if the settings have Kafka's address, else the kind of the local broker.
    """

    kind: Literal["given", "apache", "embedded"]
    notice: str = ""


def local_broker(kafka: KafkaSettings, home: Path) -> Literal["auto", "apache", "embedded"]:
    """Return the setting `broker`; ``auto`` becomes the kind of the broker whose data `home` has."""
    kept = _kinds_with_data(home)
    return kept[0] if kafka.broker == "auto" and len(kept) == 1 else kafka.broker


def _kinds_with_data(home: Path) -> list[BrokerKind]:
    # Not `exists`, which raises an error if `home` cannot be read.
    return [kind for kind in get_args(BrokerKind) if os.access(home / "kafka" / kind, os.F_OK)]


def plan_broker(kafka: KafkaSettings, home: Path) -> BrokerPlan:
    """Choose the broker; ``auto`` without data in `home` is Apache Kafka if it is available, else the embedded broker.

    Raises BrokerError if `home` has data of only the other broker: the ledger would delete what the new broker's empty topics lack.
    """
    if kafka.bootstrap_servers:
        return BrokerPlan(kind="given")
    chosen, kept = local_broker(kafka, home), _kinds_with_data(home)
    if chosen != "auto" and kept and chosen not in kept:
        raise BrokerError(
            f"kafka.broker is {chosen!r}, but {home} has the data of the {kept[0]} broker, and with another broker all records, "
            f"alerts and reviews would be lost; set it to 'auto' or {kept[0]!r}, or choose a new WEIR_HOME; to begin without "
            f"these data, delete {home / 'kafka' / kept[0]}"
        )
    if chosen == "apache" or (chosen == "auto" and apache_available()):
        return BrokerPlan(kind="apache")
    missing = "mvn is not on PATH, so Apache Kafka cannot be downloaded; " if chosen == "auto" else ""
    return BrokerPlan(kind="embedded", notice=missing + EMBEDDED_NOTICE)


def check_login(kafka: KafkaSettings, broker: BrokerPlan) -> None:
    """Raise BrokerError if the settings of TLS or SASL cannot be used."""
    if broker.kind != "given" and kafka.security_protocol != "PLAINTEXT":
        raise BrokerError(
            f"kafka.security_protocol is {kafka.security_protocol!r}, and the local broker accepts only 'PLAINTEXT'; set "
            "kafka.bootstrap_servers to the Kafka with this protocol, or unset security_protocol"
        )
    kafka.client_options()


def broker_command(kind: BrokerKind, directory: Path, port: int, controller_port: int) -> list[str]:
    """Prepare a local broker below `directory` and return the argv that starts it; raises BrokerError."""
    data = directory / kind
    return apache_command(data, port, controller_port) if kind == "apache" else embedded_command(data, port)


def retention_bytes(kind: str, kafka: KafkaSettings) -> int:
    """Return the bytes retained per partition; limited for the embedded broker, which keeps all records in memory."""
    return min(kafka.retention_bytes, EMBEDDED_RETENTION_BYTES) if kind == "embedded" else kafka.retention_bytes
