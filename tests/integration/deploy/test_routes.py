"""deploy/alertmanager by the real amtool: the file is right, and every alert goes where it says."""

import subprocess
from pathlib import Path

import pytest
from support.cases import cases
from support.programs import amtool

CASES = cases(__file__)

CONFIG = Path(__file__).parents[3] / "deploy" / "alertmanager" / "alertmanager.yml"


def ran(*arguments):
    done = subprocess.run([amtool(), *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_file_is_right():
    assert "SUCCESS" in ran("check-config", str(CONFIG))


@pytest.mark.parametrize(("labels", "receiver"), CASES["routes"])
def test_alerts_go_by_tenant_and_severity(labels, receiver):
    given = [f"{name}={value}" for name, value in labels.items()]
    assert ran("config", "routes", "test", f"--config.file={CONFIG}", *given).strip() == receiver
