"""A real Ray with its edge and driver and the engine `echo`, started once for each session on separate ports.

The model `relay` has the engine `upstream`; its server is the same endpoint, with the model `echo`.
"""

import json
import shutil

import pytest
from support.gateway import KEY
from support.running_serving import Serving

SETTINGS = {
    "WEIR_DETECTORS__INPUT": '["pii"]',
    "WEIR_DETECTORS__OUTPUT": '["pii"]',
    "WEIR_MLFLOW__ENABLED": "false",
}


def variables(url: str) -> dict[str, str]:
    relay = {"engine": "upstream", "base_url": f"{url}/v1", "upstream_model": "echo", "upstream_api_key": KEY}
    models = {"echo": {"max_length": 8192}, "relay": relay | {"slots": 8, "queue": 8}}
    return SETTINGS | {"WEIR_MODELS": json.dumps(models)}


@pytest.fixture(scope="session")
def serving(tmp_path_factory):
    running = Serving(tmp_path_factory.mktemp("serving"), variables)
    try:
        running.start()
        running.processes()
        yield running
    finally:
        running.stop()
        shutil.rmtree(running.run_dir, ignore_errors=True)
