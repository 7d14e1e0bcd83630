"""The stack of docker-compose.yml and docker-compose.secure.yml, as plain processes, once for all tests here."""

import random
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.compose import BASE, SECURE, model
from support.plainstack import PlainStack

#: A person who looks at a trace can wait a minute for it; a test need not.
SHORT = {"collector": {"WEIR_DECISION_WAIT": "20s"}}


@pytest.fixture(scope="session")
def stack() -> Iterator[PlainStack]:
    folder = Path(tempfile.mkdtemp(prefix="weir-stack-"))
    network = f"127.{random.randint(70, 120)}.{random.randint(1, 250)}"
    started = PlainStack(model(BASE, SECURE, profiles=("cpu", "cli")), folder, network=network, environment=SHORT)
    try:
        started.up("kafka", "mlflow", "jaeger", "collector", "alertmanager", "prometheus", "topics", "serving")
        started.up("shipper", "score", "watch", "ledger", "bridge")
        yield started
    finally:
        started.down()
        shutil.rmtree(folder, ignore_errors=True)
