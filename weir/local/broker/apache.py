"""Apache Kafka as one KRaft node on loopback: its properties, storage format and command line."""

import base64
import json
import os
import subprocess
import uuid
from importlib.resources import files
from pathlib import Path

from stream.errors import BrokerError
from weir.local.broker.find_java import find_java
from weir.local.broker.kafka_jars import ensure_jars

#: The largest batch that the broker accepts.
MAX_MESSAGE_BYTES = 2 * 1024 * 1024
#: In another locale, Java cannot open files with non-ASCII names.
JAVA_ENVIRONMENT = {"LC_ALL": "C.UTF-8"}

_FORMAT_SECONDS = 120
_OUTPUT_CHARACTERS = 2000
_JVM = (
    "-Xmx384m",
    "-XX:+ExitOnOutOfMemoryError",
    # Without the optimising compiler, Kafka needs at most half the CPU time per record.
    "-XX:TieredStopAtLevel=1",
    "-XX:+UseSerialGC",
    "-XX:-UsePerfData",  # otherwise each JVM leaves a file in /tmp
    "-Djava.awt.headless=true",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd'T'HH:mm:ss.SSSXXX",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.log.kafka.server.KafkaRaftServer=info",
    "-Dorg.slf4j.simpleLogger.log.org.apache.kafka.storage.internals.log.LogManager=info",
)


def server_properties(data: Path, port: int, controller_port: int) -> str:
    """Return the text of ``server.properties``; every listener is on 127.0.0.1. Raises BrokerError for a folder with a comma."""
    if "," in str(data):
        raise BrokerError(
            f"{data} contains a comma, which separates folders in Kafka's log.dirs: choose another WEIR_HOME"
        )
    template = (files("weir.local.broker") / "server.properties").read_text(encoding="ascii")
    ports = {"port": port, "controller_port": controller_port}
    return template.format(data=_property(str(data)), max_message_bytes=MAX_MESSAGE_BYTES, **ports)


def _property(text: str) -> str:
    """Escape a value for Java, which reads such a file as ISO 8859-1."""
    return json.dumps(text)[1:-1]


def apache_command(directory: Path, port: int, controller_port: int) -> list[str]:
    """Write the properties, format `directory` at the first call, and return the broker's argv; raises BrokerError."""
    java, jars = find_java(), ensure_jars()
    data, properties = directory / "data", directory / "server.properties"
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    properties.write_text(server_properties(data, port, controller_port), encoding="ascii")
    if not (data / "meta.properties").exists():
        _format(java, jars, properties)
    return [java, *_JVM, "-cp", f"{jars}/*", "kafka.Kafka", str(properties)]


def _cluster_id() -> str:
    """Return a new cluster id without a leading hyphen, because Kafka's tool would read such an id as a flag."""
    while (cluster := base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")).startswith("-"):
        pass
    return cluster


def _format(java: str, jars: Path, properties: Path) -> None:
    tool = [java, *_JVM, "-cp", f"{jars}/*", "kafka.tools.StorageTool"]
    flags = ["format", "--standalone", "--ignore-formatted", "--cluster-id", _cluster_id(), "--config", str(properties)]
    done = subprocess.run(
        [*tool, *flags],
        capture_output=True,
        text=True,
        timeout=_FORMAT_SECONDS,
        check=False,
        env=os.environ | JAVA_ENVIRONMENT,
    )
    if done.returncode != 0:
        output = (done.stdout + done.stderr).strip()[-_OUTPUT_CHARACTERS:]
        raise BrokerError(f"{properties.parent} could not be formatted for Kafka (exit {done.returncode}):\n{output}")
