"""One real Ray with its edge and driver, started once a session on ports of its own, the echo engine behind it."""

import shutil

import pytest
from support.running_serving import Serving

SETTINGS = {
    "WEIR_MODEL__NAME": "echo",
    "WEIR_MODEL__MAX_LENGTH": "8192",
    "WEIR_DETECTORS__INPUT": '["pii"]',
    "WEIR_DETECTORS__OUTPUT": '["pii"]',
    "WEIR_MLFLOW__ENABLED": "false",
}


@pytest.fixture(scope="session")
def serving(tmp_path_factory):
    running = Serving(tmp_path_factory.mktemp("serving"), SETTINGS)
    try:
        running.start()
        running.processes()
        yield running
    finally:
        running.stop()
        shutil.rmtree(running.run_dir, ignore_errors=True)
