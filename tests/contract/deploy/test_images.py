"""The Dockerfiles: linted, reproducible, with few privileges; the files that they copy exist."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from support.compose import ROOT

FILES = sorted((ROOT / "deploy/images").glob("*.Dockerfile"))
IGNORED = [line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")]


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def dockerfile(request):
    return request.param


def instructions(path):
    text = re.sub(r"\\\n\s*", " ", path.read_text())
    return [line for line in text.splitlines() if line and not line.startswith("#")]


def test_each_image_has_a_dockerfile():
    assert [path.stem for path in FILES] == ["mlflow", "serving-vllm", "weir"]


def test_hadolint_finds_nothing(dockerfile):
    program = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([program, dockerfile], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout


def test_each_copied_file_exists_and_is_in_the_build_context(dockerfile):
    copies = [line.split()[1:-1] for line in instructions(dockerfile) if re.match(r"COPY (?!--from)", line)]
    sources = [source for copied in copies for source in copied]
    assert sources
    for source in sources:
        assert (ROOT / source).exists(), source
        assert source in IGNORED, f"{source} is excluded from the build by .dockerignore"


def test_it_is_built_in_stages_from_a_pinned_base_and_runs_as_an_unprivileged_user(dockerfile):
    lines = instructions(dockerfile)
    stages = [line for line in lines if line.startswith("FROM")]
    assert re.fullmatch(r"FROM \$\{PYTHON\} AS \w+", stages[0])
    assert stages[-1] == "FROM ${PYTHON}"
    assert re.fullmatch(r"ARG PYTHON=python:\d+\.\d+\.\d+-slim-[a-z]+", lines[0])
    assert [line for line in lines if line.startswith("USER")] == ["USER 10001:10001"]


def test_every_installed_package_is_checked_by_hash_and_no_url_is_used(dockerfile):
    commands = [part.strip() for line in instructions(dockerfile) for part in line.removeprefix("RUN ").split("&&")]
    installs = [command for command in commands if "pip install" in command]
    assert installs
    for command in installs:
        own_wheel = command.endswith("--no-deps dist/*.whl")
        assert own_wheel or "--require-hashes" in command, command
    assert "://" not in dockerfile.read_text()
    assert "://" not in (ROOT / "deploy/images/requirements-uv.lock").read_text()
