"""The embedded broker: the Kafka service of the PyPI package ``noida-db`` on loopback, for machines without Maven."""

from importlib.util import find_spec
from pathlib import Path

from stream.errors import BrokerError

__all__ = ["EMBEDDED_NOTICE", "EMBEDDED_RETENTION_BYTES", "embedded_command"]

EMBEDDED_RETENTION_BYTES = 64 * 1024 * 1024
EMBEDDED_NOTICE = (
    "the embedded broker (noida-db) is for trying Weir out: it keeps all records in memory; it saves them about once a second, so "
    "a crash may lose a second of acknowledged records; it has one node and no access control. For Apache Kafka, install the "
    "Debian package `maven` and start again"
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
    binary.chmod(0o755)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    listener = ["--host", "127.0.0.1", "--only", "kafka", "--kafka-port", str(port)]
    return [str(binary), "start", "--data-dir", str(directory), *listener]
