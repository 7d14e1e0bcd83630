"""deploy/alertmanager by the real amtool: the file is right, and every alert goes where it says."""

import subprocess
from pathlib import Path

import pytest
import yaml
from support.alert_records import alert
from support.cases import cases
from support.programs import amtool

from stream.bridge.firing_alerts import labels_of

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


def test_a_critical_alert_mutes_only_the_warning_with_the_same_other_labels():
    """A new version's critical alert must not mute the warning of the version that answers most requests."""
    rule = next(one for one in yaml.safe_load(CONFIG.read_text())["inhibit_rules"] if "equal" in one)
    labels = labels_of(alert(part="prompt", model_version="m_1"), "weir")
    assert set(rule["equal"]) == {name for name, _value in labels} - {"severity"}
