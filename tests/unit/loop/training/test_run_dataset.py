"""The dataset of a run: built again if its manifest is damaged."""

import asyncio
import json

import msgspec
import pytest
from prometheus_client import CollectorRegistry
from support.trainer_process import printed, setup_of

from stream.loop.training.errors import TrainingError
from stream.loop.training.machine import Work
from stream.loop.training.metrics import TrainerMetrics
from stream.loop.training.run import Run
from stream.wire import RetrainingRecord

REQUEST = RetrainingRecord(retraining_id="rt_1", state="requested", tenant="acme", model="m", at=1.0, reason="")
OLD, NEW = "d1", "d2"


def write_manifest(home, digest, text=None):
    folder = home / "loop" / "datasets" / digest
    folder.mkdir(parents=True, exist_ok=True)
    manifest = {"digest": digest, "tenant": "acme", "model": "m", "counts": {"train": 1, "eval": 0}}
    (folder / "manifest.json").write_text(json.dumps(manifest) if text is None else text)


def states_of(home):
    """Continue a request with the dataset `OLD`; return its states with their datasets and reasons. A build makes `NEW`."""
    found = []

    async def publish(event):
        found.append((event.data.state, event.data.dataset_digest, event.data.reason))

    def no_base(_model):
        raise TrainingError("no base")

    setup = setup_of(home, home, dataset_command=lambda _request: printed({"digest": NEW}))
    work = Work(request=REQUEST, epoch=2, dataset_digest=OLD)
    asyncio.run(
        Run(msgspec.structs.replace(setup, base=no_base), work, publish, TrainerMetrics(CollectorRegistry())).run()
    )
    return found


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "\x80"])
def test_a_dataset_with_a_damaged_manifest_is_built_again(tmp_path, text):
    write_manifest(tmp_path, OLD, text)
    write_manifest(tmp_path, NEW)
    assert states_of(tmp_path) == [("dataset", NEW, ""), ("failed", NEW, "no base")]


def test_a_manifest_that_cannot_be_read_after_the_build_is_named(tmp_path):
    write_manifest(tmp_path, NEW, "{")
    ((state, digest, reason),) = states_of(tmp_path)
    assert (state, digest) == ("failed", NEW)
    assert reason.startswith(f"{tmp_path}/loop/datasets/{NEW}/manifest.json cannot be read (")
