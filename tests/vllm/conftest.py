"""The engine vllm on a real Ray, behind the real gateway: ``make test-vllm``, in the separate environment .venv-vllm."""

import shutil

import pytest
from support.vllm_serving import ADAPTERS, ENGINE, VLLM, VllmServing, settings, write_adapter, write_weights

SLOTS = 4

if not VLLM:
    collect_ignore_glob = ["*"]


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    return write_weights(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="session")
def adapters(tmp_path_factory, model):
    root = tmp_path_factory.mktemp("adapters")
    return {name: write_adapter(root / name, model, seed) for seed, name in enumerate(ADAPTERS)}


@pytest.fixture(scope="session")
def serving(tmp_path_factory, model, adapters):
    variables = settings(model, slots=SLOTS, engine=ENGINE, lora=adapters)
    running = VllmServing(tmp_path_factory.mktemp("vllm"), variables)
    try:
        running.start()
        running.processes()
        yield running
    finally:
        running.stop()
        shutil.rmtree(running.run_dir, ignore_errors=True)
