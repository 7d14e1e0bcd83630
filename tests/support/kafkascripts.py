"""The scripts of Kafka's image that deploy/kafka calls, with Maven's jars, for a machine without that image."""

import shlex
from pathlib import Path

from weir.local.broker.find_java import find_java
from weir.local.broker.kafka_jars import ensure_jars

_SCRIPTS = {
    "kafka-storage.sh": "-Xmx128m {quiet} {jars} kafka.tools.StorageTool",
    "kafka-server-start.sh": "-Xmx384m -XX:+UseSerialGC {logs} {jars} kafka.Kafka",
    "kafka-acls.sh": "-Xmx128m {quiet} {jars} org.apache.kafka.tools.AclCommand",
    "kafka-consumer-groups.sh": "-Xmx128m {quiet} {jars} org.apache.kafka.tools.consumer.group.ConsumerGroupCommand",
    "kafka-configs.sh": "-Xmx128m {quiet} {jars} kafka.admin.ConfigCommand",
}
_QUIET = "-XX:TieredStopAtLevel=1 -Dorg.slf4j.simpleLogger.defaultLogLevel=warn"
#: The broker logs the operations that it denies.
_LOGS = f"{_QUIET} -Dorg.slf4j.simpleLogger.log.kafka.authorizer.logger=info"


def write_scripts(folder: Path, *, seen: Path | None = None) -> None:
    """Write the scripts into `folder`; each call of a script appends its arguments to `seen`, one per line."""
    java = shlex.quote(find_java())
    jars = f"-XX:-UsePerfData -cp {shlex.quote(str(ensure_jars()))}/'*'"
    note = f'printf "%s\\n" "$@" >> {shlex.quote(str(seen))}\n' if seen else ""
    for name, arguments in _SCRIPTS.items():
        path = folder / name
        command = f'exec {java} {arguments.format(jars=jars, logs=_LOGS, quiet=_QUIET)} "$@"'
        path.write_text(f"#!/bin/sh\n{note}{command}\n")
        path.chmod(0o755)
