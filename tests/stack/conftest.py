"""The stack of docker-compose.yml and docker-compose.secure.yml, as plain processes, once for all tests here."""

import random
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.compose import BASE, SECURE, model
from support.plainstack import PlainStack
from support.stack import free_port

HTTP_PORT = free_port()
#: A person who looks at a trace can wait a minute for it; a test need not. Ray asks its proxy for its health on 127.0.0.1 alone, so that the
#: endpoint stays there, on a port of its own.
CHANGED = {
    "collector": {"WEIR_DECISION_WAIT": "20s"},
    "serving": {"WEIR_HTTP__HOST": "127.0.0.1", "WEIR_HTTP__PORT": str(HTTP_PORT)},
}


@pytest.fixture(scope="session")
def endpoint() -> str:
    return f"http://127.0.0.1:{HTTP_PORT}"


@pytest.fixture(scope="session")
def stack() -> Iterator[PlainStack]:
    folder = Path(tempfile.mkdtemp(prefix="weir-stack-"))
    network = f"127.{random.randint(70, 120)}.{random.randint(1, 250)}"
    started = PlainStack(model(BASE, SECURE, profiles=("cpu", "cli")), folder, network=network, environment=CHANGED)
    try:
        started.up("kafka", "mlflow", "jaeger", "collector", "alertmanager", "prometheus", "topics", "serving")
        started.up("shipper", "score", "watch", "ledger", "bridge")
        yield started
    finally:
        started.down()
        shutil.rmtree(folder, ignore_errors=True)
