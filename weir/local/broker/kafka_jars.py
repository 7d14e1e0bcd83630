"""The jars of Apache Kafka: listed in pom.xml, downloaded once by Maven, shared by every home."""

import hashlib
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from stream.count_text import count_text
from stream.errors import BrokerError
from stream.files import FileLock

_MAVEN_SECONDS = 900
_OUTPUT_CHARACTERS = 2000
_POM = Path(__file__).with_name("pom.xml")
_CHECKSUMS = Path(__file__).with_name("jars.sha256")


def _jar_directory() -> Path:
    pinned = _POM.read_bytes() + _CHECKSUMS.read_bytes()
    digest = hashlib.sha256(pinned).hexdigest()[:12]
    return Path(sys.prefix) / "share" / "weir-kafka" / digest


def apache_installed() -> bool:
    """Return whether the jars are installed."""
    return _jar_directory().is_dir()


def apache_available() -> bool:
    """Return whether Apache Kafka is installed, or can be downloaded (Maven is on PATH)."""
    return apache_installed() or shutil.which("mvn") is not None


def ensure_jars() -> Path:
    """Return the directory of Kafka's jars; the first call downloads them (92 jars, 54 MB, about 10 s). Raises BrokerError."""
    target = _jar_directory()
    if target.is_dir():
        return target
    maven = shutil.which("mvn")
    if maven is None:
        raise BrokerError(
            "Apache Kafka's jars are downloaded by Maven, and mvn is not on PATH; install the Debian package `maven` "
            "(apt-get install maven), or set WEIR_KAFKA__BROKER=embedded"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock.acquire(target.parent / ".lock"):
        if not target.is_dir():
            _resolve(maven, target)
    return target


def _resolve(maven: str, target: Path) -> None:
    """Download into a temporary directory, then rename it to `target`: if `target` exists, it is complete."""
    scratch = Path(tempfile.mkdtemp(prefix=".resolving-", dir=target.parent))
    goal = ["dependency:copy-dependencies", f"-DoutputDirectory={scratch}", "-DincludeScope=runtime"]
    command = [maven, "--batch-mode", "--quiet", "--strict-checksums", "--file", str(_POM), *goal]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_MAVEN_SECONDS, check=False)
        if done.returncode != 0:
            output = (done.stdout + done.stderr).strip()[-_OUTPUT_CHARACTERS:]
            raise BrokerError(f"Maven could not download Apache Kafka (exit {done.returncode}):\n{output}")
        check_jars(scratch, _CHECKSUMS)
        scratch.chmod(0o755)
        scratch.rename(target)
    except subprocess.TimeoutExpired:
        raise BrokerError(
            f"Maven did not download Apache Kafka within {_MAVEN_SECONDS} s; check its mirror in ~/.m2/settings.xml, "
            "or set WEIR_KAFKA__BROKER=embedded"
        ) from None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def check_jars(directory: Path, checksums: Path) -> None:
    """Check the jars in `directory` against the file `checksums`; raises BrokerError if a jar is missing, added or changed."""
    listed = (line.split() for line in checksums.read_text().splitlines())
    expected = {name: digest for digest, name in listed}
    found = {jar.name: hashlib.sha256(jar.read_bytes()).hexdigest() for jar in directory.glob("*.jar")}
    wrong = sorted(name for name in expected.keys() | found.keys() if expected.get(name) != found.get(name))
    if wrong:
        name = wrong[0]
        raise BrokerError(
            f"{count_text(len(wrong), 'Kafka jar differs', 'Kafka jars differ')} from {checksums.name}; first: {name} has SHA-256 {found.get(name, 'none (missing)')}, "
            f"expected {expected.get(name, 'none (not listed)')}; check Maven's mirror and delete the jar from ~/.m2/repository, "
            "or set WEIR_KAFKA__BROKER=embedded"
        )
