"""deploy/alertmanager by the real amtool: the file is right, and every alert goes where it says."""

import subprocess
from pathlib import Path

import pytest
from support.programs import amtool

CONFIG = Path(__file__).parents[3] / "deploy" / "alertmanager" / "alertmanager.yml"


def ran(*arguments):
    done = subprocess.run([amtool(), *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_file_is_right():
    assert "SUCCESS" in ran("check-config", str(CONFIG))


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        ({"alertname": "WeirPii", "tenant": "other", "severity": "warning"}, "team"),
        ({"alertname": "WeirPii", "tenant": "other", "severity": "critical"}, "on-call"),
        ({"alertname": "WeirPii", "tenant": "acme-1", "severity": "critical"}, "acme"),
        ({"alertname": "WeirPii", "tenant": "acmeology", "severity": "critical"}, "on-call"),
        ({"alertname": "WeirLag", "tenant": "_weir", "severity": "warning"}, "platform-quiet"),
        ({"alertname": "WeirCoverage", "tenant": "_weir", "severity": "critical"}, "platform"),
        ({"alertname": "WeirKafkaUnreachable", "severity": "critical"}, "platform"),
    ],
)
def test_alerts_go_by_tenant_and_severity(labels, receiver):
    given = [f"{name}={value}" for name, value in labels.items()]
    assert ran("config", "routes", "test", f"--config.file={CONFIG}", *given).strip() == receiver
