"""deploy/alertmanager, checked by the real amtool and Alertmanager: syntax, routes and inhibition."""

import subprocess
from pathlib import Path

import httpx
import pytest
import yaml
from support.alert_records import alert
from support.alertmanagers import Alertmanager
from support.cases import cases
from support.programs import amtool
from support.stack import free_port, until

from stream.bridge.firing_alerts import labels_of

CASES = cases(__file__)

CONFIG = Path(__file__).parents[3] / "deploy" / "alertmanager" / "alertmanager.yml"


def ran(*arguments):
    done = subprocess.run([amtool(), *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_configuration_is_valid():
    assert "SUCCESS" in ran("check-config", str(CONFIG))


@pytest.mark.parametrize(("labels", "receiver"), CASES["routes"])
def test_alerts_are_routed_by_tenant_and_severity(labels, receiver):
    given = [f"{name}={value}" for name, value in labels.items()]
    assert ran("config", "routes", "test", f"--config.file={CONFIG}", *given).strip() == receiver


def test_a_critical_alert_mutes_only_the_warning_with_the_same_other_labels():
    """A new version's critical alert must not mute the warning of the version that answers most requests."""
    rule = next(
        one for one in yaml.safe_load(CONFIG.read_text())["inhibit_rules"] if "alertname" in one.get("equal", ())
    )
    labels = labels_of(alert(part="prompt", model_version="m_1"), "weir")
    assert set(rule["equal"]) == {name for name, _value in labels} - {"severity"}


@pytest.mark.parametrize(
    "name",
    ["WeirLag", "WeirSpoolAging", "WeirEventTimeStopped", "WeirLedgerBehind", "WeirBridgeBlind", "WeirSpoolFilling"],
)
def test_an_unreachable_kafka_mutes_only_the_alerts_that_it_causes_in_its_own_stack(tmp_path, name):
    rules = yaml.safe_load(CONFIG.read_text())["inhibit_rules"]
    manager = Alertmanager(tmp_path, free_port(), "http://127.0.0.1:1/", rules).start()
    try:
        unreachable = {"alertname": "WeirKafkaUnreachable", "severity": "critical", "service": "weir"}
        caused = {"alertname": name, "severity": "warning", "tenant": "_weir"}
        known = {"alertname": "WeirLag", "severity": "warning", "tenant": "_weir", "service": "weir"}
        posted = [unreachable, known, caused | {"service": "weir"}, caused | {"service": "other"}]
        httpx.post(f"{manager.url}/api/v2/alerts", json=[{"labels": one} for one in posted]).raise_for_status()
        until("an alert is muted", lambda: manager.alerts(**known)[0]["status"]["inhibitedBy"])
        muted = {one["labels"]["service"]: bool(one["status"]["inhibitedBy"]) for one in manager.alerts(**caused)}
        assert muted == {"weir": name != "WeirSpoolFilling", "other": False}
    finally:
        manager.kill()
