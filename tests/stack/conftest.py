"""Run the stack of docker-compose.yml and docker-compose.secure.yml as plain processes, once for all tests of this folder."""

import random
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from support.compose import BASE, SECURE, model
from support.compose_processes import ComposeProcesses
from support.receiver import Receiver, receiver
from support.stack import free_port, until

HTTP_PORT = free_port()
PAGER_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
#: The Collector decides on a trace after 20 s instead of 70 s, to shorten the tests. Ray checks the health of its proxy only on
#: 127.0.0.1, so that the endpoint keeps that address and has a separate port.
CHANGED = {
    "collector": {"WEIR_DECISION_WAIT": "20s"},
    "serving": {"WEIR_HTTP__HOST": "127.0.0.1", "WEIR_HTTP__PORT": str(HTTP_PORT)},
}


@pytest.fixture(scope="session")
def endpoint() -> str:
    return f"http://127.0.0.1:{HTTP_PORT}"


@pytest.fixture(scope="session")
def pager() -> Iterator[Receiver]:
    """Start a receiver of webhooks on this machine."""
    with receiver() as made:
        yield made


@pytest.fixture(scope="session")
def pager_secret() -> str:
    return PAGER_SECRET


@pytest.fixture(scope="session")
def stack(pager: Receiver) -> Iterator[ComposeProcesses]:
    folder = Path(tempfile.mkdtemp(prefix="weir-stack-"))
    (folder / "pager").write_text(PAGER_SECRET)
    told = {
        "WEIR_BRIDGE__WEBHOOKS__PAGER__URL": pager.url,
        "WEIR_BRIDGE__WEBHOOKS__PAGER__SECRET_FILE": str(folder / "pager"),
    }
    network = f"127.{random.randint(70, 120)}.{random.randint(1, 250)}"
    started = ComposeProcesses(
        model(BASE, SECURE, profiles=("cpu", "cli")), folder, network=network, environment=CHANGED | {"bridge": told}
    )
    try:
        started.up("kafka", "mlflow", "jaeger", "collector", "alertmanager", "prometheus", "topics", "serving")
        started.up("shipper", "score", "watch", "ledger", "bridge")
        # A webhook receives only alerts that are published after its first start.
        begun = 'weir_bridge_webhook_reading{target="pager"} 1.0'
        metrics = f"{started.url('bridge', 9464)}/metrics"
        until("the webhook's offsets", lambda: begun in httpx.get(metrics, timeout=10, trust_env=False).text, 120)
        yield started
    finally:
        started.down()
        shutil.rmtree(folder, ignore_errors=True)
