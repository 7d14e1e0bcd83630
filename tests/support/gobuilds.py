"""The OpenTelemetry Collector and Jaeger, built from Go modules at the versions of docker-compose.yml, and kustomize: minutes once, then kept.

Why this exists: neither is a Debian package, and both publish their Go modules. The Collector is put together by its own builder
from the parts that deploy/collector/config.yaml names; Jaeger's page is a placeholder, since its script bundle is no part of the module.
"""

import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

from stream.files import FileLock
from support.programs import ProgramMissing, cache

__all__ = ["BUILDER", "COLLECTOR_VERSION", "JAEGER_VERSION", "KUSTOMIZE_VERSION", "collector", "jaeger", "kustomize"]

COLLECTOR_VERSION = "0.155.0"
#: Of the module; the image of the same release is 2.13.0.
JAEGER_VERSION = "1.76.0"
KUSTOMIZE_VERSION = "5.7.1"
BUILDER = Path(__file__).parents[1] / "stack" / "collector.yaml"
_SECONDS = 1800


def collector() -> Path:
    return _built(f"otelcol-{COLLECTOR_VERSION}", _build_collector)


def jaeger() -> Path:
    return _built(f"jaeger-{JAEGER_VERSION}", _build_jaeger)


def kustomize() -> Path:
    return _built(f"kustomize-{KUSTOMIZE_VERSION}", _build_kustomize)


def _built(name: str, build: Callable[[Path, Path], None]) -> Path:
    target = cache() / name
    with FileLock.acquire(cache() / f"{name}.lock"):
        if not target.is_file():
            work = cache() / f"{name}.work"  # kept where a build breaks off: the next goes on from Go's own cache
            work.mkdir(exist_ok=True)
            build(work, work / "binary")
            (work / "binary").rename(target)
            shutil.rmtree(work)
    return target


def _build_collector(work: Path, binary: Path) -> None:
    _go(
        [
            "run",
            f"go.opentelemetry.io/collector/cmd/builder@v{COLLECTOR_VERSION}",
            f"--config={BUILDER}",
            "--skip-compilation",
        ],
        work,
    )
    source = work / "dist"
    _go(["build", "-trimpath", "-o", str(binary), "."], source)


def _build_jaeger(work: Path, binary: Path) -> None:
    if not (work / "go.mod").exists():
        _go(["mod", "init", "weir.test/jaeger"], work)
    _go(["get", "-tool", f"github.com/jaegertracing/jaeger/cmd/jaeger@v{JAEGER_VERSION}"], work)
    _go(["build", "-trimpath", "-o", str(binary), "github.com/jaegertracing/jaeger/cmd/jaeger"], work)


def _build_kustomize(work: Path, binary: Path) -> None:
    if not (work / "go.mod").exists():
        _go(["mod", "init", "weir.test/kustomize"], work)
    _go(["get", "-tool", f"sigs.k8s.io/kustomize/kustomize/v5@v{KUSTOMIZE_VERSION}"], work)
    _go(["build", "-trimpath", "-o", str(binary), "sigs.k8s.io/kustomize/kustomize/v5"], work)


def _go(arguments: list[str], folder: Path) -> None:
    go = shutil.which("go")
    if go is None:
        raise ProgramMissing("go is not on PATH to build it with; install Go 1.25 or newer")
    command = ["nice", go, *arguments]
    done = subprocess.run(
        command,
        cwd=folder,
        env=os.environ | {"CGO_ENABLED": "0"},
        capture_output=True,
        text=True,
        timeout=_SECONDS,
        check=False,
    )
    if done.returncode != 0:
        raise ProgramMissing(
            f"`go {' '.join(arguments)}` ended with {done.returncode} in {folder}\n{done.stderr[-2000:]}"
        )
