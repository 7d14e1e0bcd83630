"""The embedded broker: the Kafka service of the PyPI package ``noida-db``, on loopback, for machines without Maven."""

from importlib.util import find_spec
from pathlib import Path

from stream.errors import BrokerError

__all__ = ["EMBEDDED_LACKS", "EMBEDDED_RETENTION_BYTES", "embedded_command"]

EMBEDDED_RETENTION_BYTES = 64 * 1024 * 1024
EMBEDDED_LACKS = (
    "the embedded broker (noida-db) is for trying Weir out: it holds all records in memory, which grows with the data; it "
    "saves them about once a second, so a crash may lose the last second of what it acknowledged; it has one node and no "
    "access control. For Apache Kafka install the Debian package `maven` and start again"
)


def embedded_command(directory: Path, port: int) -> list[str]:
    """Return the argv that runs the Kafka service alone, its data in `directory`.

    Raises
    ------
    BrokerError
        The package is not installed.
    """
    found = find_spec("noida_db")
    binary = Path(found.origin).with_name("noida-db") if found and found.origin else None
    if binary is None or not binary.is_file():
        raise BrokerError(
            "the embedded broker is the PyPI package noida-db, which is not installed; install weir-llm[local], "
            "or set WEIR_KAFKA__BOOTSTRAP_SERVERS to a Kafka of your own"
        )
    binary.chmod(0o755)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    where = ["--data-dir", str(directory), "--host", "127.0.0.1"]
    return [str(binary), "start", *where, "--only", "kafka", "--kafka-port", str(port)]
