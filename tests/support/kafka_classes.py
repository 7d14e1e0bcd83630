"""An archive of the classes that Kafka loads (class data sharing): with it, a broker starts with half the processor time."""

import functools
import os
import tempfile
from pathlib import Path

import psutil

from stream.errors import BrokerError
from stream.files import FileLock
from support.running_broker import RunningBroker, free_ports
from weir.local.broker.find_java import find_java
from weir.local.broker.kafka_jars import ensure_jars
from weir.local.broker.launch import broker_command

_OPTIONS = "JDK_JAVA_OPTIONS"
_EXIT_SECONDS = 120


@functools.cache
def share_kafka_classes() -> None:
    """Let each Java that this process and its children start use the archive; if it cannot be written, Kafka starts as before."""
    try:
        archive = _class_archive()
    except (BrokerError, OSError, psutil.Error):
        return  # a broker that does not start tells each test the reason
    # A Java with other jars ignores the archive: without a warning on its standard output.
    options = f"{os.environ.get(_OPTIONS, '')} -XX:SharedArchiveFile={archive} -Xlog:cds*=off"
    os.environ[_OPTIONS] = options.strip()


def _class_archive() -> Path:
    """Return the archive of this Java and Kafka; the first call starts a broker, which writes it (48 MB) when it stops."""
    java, jars = find_java(), ensure_jars()
    archive = jars.with_name(f"{jars.name}-{Path(java).stat().st_mtime_ns}.jsa")
    with FileLock.acquire(jars.with_name(".classes.lock")):
        if not archive.exists():
            _write(archive)
    return archive


def _write(archive: Path) -> None:
    """Write to a temporary folder, then rename: if `archive` exists, it is complete."""
    with tempfile.TemporaryDirectory(prefix=".classes-", dir=archive.parent) as name:
        folder, (port, controller_port) = Path(name), free_ports(2)
        java, *more = broker_command("apache", folder, port, controller_port)
        argv = [java, f"-XX:ArchiveClassesAtExit={folder / archive.name}", *more]
        with RunningBroker("apache", argv, f"127.0.0.1:{port}", folder / "log").start() as broker:
            process = psutil.Process(broker.pid)
            process.terminate()
            process.wait(_EXIT_SECONDS)
        (folder / archive.name).rename(archive)
