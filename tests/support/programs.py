"""Prometheus and Alertmanager as plain binaries, for tests without containers.

A program on PATH is used. Otherwise Debian's package is downloaded, checked by apt's signatures, and unpacked without root, once for
all checkouts that share the environment.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import httpx

from stream.files import FileLock
from support.stack import until

_SECONDS = 300
_TEMPLATES = b"/usr/share/prometheus/alertmanager"


class ProgramMissing(Exception):
    """A program is neither on PATH nor available from apt."""


def prometheus() -> Path:
    return _program("prometheus", "prometheus")


def promtool() -> Path:
    return _program("promtool", "prometheus")


def alertmanager() -> Path:
    # In Debian the program has the package's name.
    found = shutil.which("alertmanager") or shutil.which("prometheus-alertmanager")
    return Path(found) if found else _relocated(_unpacked("prometheus-alertmanager"))


def amtool() -> Path:
    return _program("amtool", "prometheus-alertmanager")


def served(command: list[object], url: str, log: Path) -> subprocess.Popen[bytes]:
    """Start a program that writes to `log`, and wait until `url` answers."""
    with log.open("ab") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)

    def ready() -> bool:
        assert process.poll() is None, log.read_text()[-3000:]
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(url, timeout=5, verify=False).is_success  # reads no certificates
        return False

    until(f"{url} answers", ready)
    return process


def cache() -> Path:
    """Return the folder of downloaded and built programs, shared by all checkouts of this environment."""
    path = Path(sys.prefix) / "share" / "weir-programs"
    path.mkdir(parents=True, exist_ok=True)
    return path


def _program(name: str, package: str) -> Path:
    found = shutil.which(name)
    return Path(found) if found else _unpacked(package) / "usr" / "bin" / name


def _relocated(tree: Path) -> Path:
    """Return Debian's Alertmanager, patched to run from `tree`: it reads templates from an absolute path that only root can create.

    The path is made relative, with the same length, and a script changes the working directory first.
    """
    program = tree / "usr" / "bin" / "alertmanager"
    with FileLock.acquire(cache() / "prometheus-alertmanager.lock"):
        if not program.exists():
            patched = program.with_name("alertmanager.relocated")
            whole = program.with_name("prometheus-alertmanager").read_bytes()
            assert _TEMPLATES in whole, (
                f"{_TEMPLATES!r} is not in Debian's Alertmanager; find out where it reads its templates"
            )
            patched.write_bytes(whole.replace(_TEMPLATES, _TEMPLATES.removeprefix(b"/") + b"/"))
            patched.chmod(0o755)
            script = program.with_name("alertmanager.script")
            script.write_text(f'#!/bin/sh\ncd "{tree}" && exec "{patched}" "$@"\n')
            script.chmod(0o755)
            script.rename(program)
    return program


def _unpacked(package: str) -> Path:
    target = cache() / package
    with FileLock.acquire(cache() / f"{package}.lock"):
        if not target.is_dir():
            _unpack(package, target)
    return target


def _unpack(package: str, target: Path) -> None:
    """Unpack into a scratch folder and rename it, so that `target` is complete if it exists."""
    if not (shutil.which("apt-get") and shutil.which("dpkg-deb")):
        raise ProgramMissing(
            f"{package} is not on PATH, and apt-get, which would download it, is missing; put its programs on PATH"
        )
    with tempfile.TemporaryDirectory(prefix=f".{package}-", dir=target.parent) as scratch:
        remedy = f"install the Debian package {package}, or put its programs on PATH"
        _download(package, Path(scratch), remedy)
        (archive,) = Path(scratch).glob("*.deb")
        run_or_missing(["dpkg-deb", "--extract", str(archive), f"{scratch}/tree"], Path(scratch), remedy)
        (Path(scratch) / "tree").rename(target)


def _download(package: str, folder: Path, remedy: str) -> None:
    """Download with this machine's package lists, else with new lists in `folder`; neither needs root."""
    try:
        run_or_missing(["apt-get", "--quiet", "download", package], folder, remedy)
    except ProgramMissing:
        lists, archives = folder / "lists", folder / "archives"
        for path in (lists / "partial", archives / "archives" / "partial"):
            path.mkdir(parents=True)
        own = ["-o", f"Dir::State::lists={lists}", "-o", f"Dir::Cache={archives}"]
        for command in (["update"], ["download", package]):
            run_or_missing(["apt-get", "--quiet", *own, *command], folder, remedy)


def run_or_missing(command, folder, remedy, *, seconds=_SECONDS, **environment):
    """Run a command that fetches or builds a program; raise ProgramMissing if it fails."""
    env = os.environ | environment
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=seconds, check=False)
    if done.returncode != 0:
        failure = f"`{' '.join(command)}` ended with {done.returncode} in {folder}"
        raise ProgramMissing(f"{failure}; {remedy}\n{done.stderr[-2000:]}")
