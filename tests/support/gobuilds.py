"""The OpenTelemetry Collector, Jaeger and kustomize, built from Go modules once, at the versions of docker-compose.yml.

Debian has no packages of them. The Collector's own builder assembles the parts in deploy/collector/config.yaml. Jaeger's page is a
placeholder, because its script bundle is not in the module.
"""

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path

from stream.files import FileLock
from support.programs import ProgramMissing, cache, run_or_missing

COLLECTOR_VERSION = "0.155.0"
#: Version of the module; the image of the same release is 2.13.0.
JAEGER_VERSION = "1.76.0"
KUSTOMIZE_VERSION = "5.7.1"
BUILDER = Path(__file__).parents[1] / "stack" / "collector.yaml"
_JAEGER = "github.com/jaegertracing/jaeger/cmd/jaeger"
_KUSTOMIZE = "sigs.k8s.io/kustomize/kustomize/v5"
_SECONDS = 1800


def collector() -> Path:
    return _built(f"otelcol-{COLLECTOR_VERSION}", _build_collector)


def jaeger() -> Path:
    return _built(f"jaeger-{JAEGER_VERSION}", partial(_build_module, _JAEGER, JAEGER_VERSION))


def kustomize() -> Path:
    return _built(f"kustomize-{KUSTOMIZE_VERSION}", partial(_build_module, _KUSTOMIZE, KUSTOMIZE_VERSION))


def _built(name: str, build: Callable[[Path, Path], None]) -> Path:
    target = cache() / name
    with FileLock.acquire(cache() / f"{name}.lock"):
        if not target.is_file():
            work = cache() / f"{name}.work"  # kept after a failed build: the next build continues from Go's cache
            work.mkdir(exist_ok=True)
            build(work, work / "binary")
            (work / "binary").rename(target)
            shutil.rmtree(work)
    return target


def _build_collector(work: Path, binary: Path) -> None:
    builder = f"go.opentelemetry.io/collector/cmd/builder@v{COLLECTOR_VERSION}"
    _go(["run", builder, f"--config={BUILDER}", "--skip-compilation"], work)
    _go(["build", "-trimpath", "-o", str(binary), "."], work / "dist")


def _build_module(module: str, version: str, work: Path, binary: Path) -> None:
    if not (work / "go.mod").exists():
        _go(["mod", "init", "weir.test/build"], work)
    _go(["get", "-tool", f"{module}@v{version}"], work)
    _go(["build", "-trimpath", "-o", str(binary), module], work)


def _go(arguments: list[str], folder: Path) -> None:
    go = shutil.which("go")
    if go is None:
        raise ProgramMissing("go is not on PATH to build it with; install Go 1.25 or newer")
    run_or_missing(["nice", go, *arguments], folder, "see its output", seconds=_SECONDS, CGO_ENABLED="0")
