"""The dataset of a run: built again if its manifest is damaged, or if the settings exclude more keys than at its build."""

import asyncio
import json

import msgspec
import pytest
from prometheus_client import CollectorRegistry
from support.trainer_process import SETTINGS, printed, setup_of

from stream.loop.settings import LoopSettings
from stream.loop.training.by_hand import train_dataset
from stream.loop.training.errors import TrainingError
from stream.loop.training.machine import Work
from stream.loop.training.metrics import TrainerMetrics
from stream.loop.training.run import Run
from stream.settings import KafkaSettings
from stream.wire import RetrainingRecord

REQUEST = RetrainingRecord(retraining_id="rt_1", state="requested", tenant="acme", model="m", at=1.0, reason="")
OLD, NEW = "d1", "d2"
BUILDING = "building the dataset"


def write_manifest(home, digest, text=None, **settings):
    folder = home / "loop" / "datasets" / digest
    folder.mkdir(parents=True, exist_ok=True)
    manifest = {
        "digest": digest,
        "tenant": "acme",
        "model": "m",
        "counts": {"train": 1, "eval": 0},
        "settings": settings,
    }
    (folder / "manifest.json").write_text(json.dumps(manifest) if text is None else text)


def states_of(home, settings=SETTINGS):
    """Continue a request with the dataset `OLD`; return its states with their datasets and reasons.

    A build makes `NEW`, or fails if the settings exclude all rows.
    """
    found = []

    async def publish(event):
        found.append((event.data.state, event.data.dataset_digest, event.data.reason))

    def no_base(_model):
        raise TrainingError("no base")

    rebuilt = printed({"digest": NEW}) if settings.dataset.training else ["false"]
    setup = setup_of(home, home, settings=lambda _tenant: settings, dataset_command=lambda _request: rebuilt)
    work = Work(request=REQUEST, epoch=2, dataset_digest=OLD)
    asyncio.run(
        Run(msgspec.structs.replace(setup, base=no_base), work, publish, TrainerMetrics(CollectorRegistry())).run()
    )
    return found


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", "\x80"])
def test_a_dataset_with_a_damaged_manifest_is_built_again(tmp_path, text):
    write_manifest(tmp_path, OLD, text)
    write_manifest(tmp_path, NEW)
    building = ("progress", OLD, BUILDING)
    assert states_of(tmp_path) == [building, ("dataset", NEW, ""), ("failed", NEW, "no base")]


def test_a_manifest_that_cannot_be_read_after_the_build_is_named(tmp_path):
    write_manifest(tmp_path, NEW, "{")
    _, (state, digest, reason) = states_of(tmp_path)
    assert (state, digest) == ("failed", NEW)
    assert reason.startswith(f"{tmp_path}/loop/datasets/{NEW}/manifest.json cannot be read (")


EXCLUDED = [({"exclude_keys": ("k_1", "k_9")}, "k_9"), ({"training": False}, "all")]


@pytest.mark.parametrize(("now", "_named"), EXCLUDED)
def test_a_request_that_continues_does_not_train_on_rows_that_the_settings_exclude_by_now(tmp_path, now, _named):
    """An operator excludes a person between the build of the dataset and the training, which continues after a restart."""
    write_manifest(tmp_path, OLD, exclude_keys=["k_1"])
    write_manifest(tmp_path, NEW, exclude_keys=["k_1"])
    assert states_of(tmp_path)[0][:2] == ("dataset", OLD)
    assert states_of(tmp_path, LoopSettings(dataset={"exclude_keys": ("k_1",)}))[0][:2] == ("dataset", OLD)
    rebuilt = [("dataset", NEW, ""), ("failed", NEW, "no base")]
    refused = [("failed", "", "`false` failed with status 1: run it by hand to see why")]
    building, *found = states_of(tmp_path, LoopSettings(dataset=now))
    assert building == ("progress", "", BUILDING)
    assert found == (refused if "training" in now else rebuilt)


@pytest.mark.parametrize(("now", "named"), EXCLUDED)
def test_a_dataset_with_excluded_rows_cannot_be_named_by_hand(tmp_path, now, named):
    write_manifest(tmp_path, OLD, exclude_keys=["k_1"])
    setup = setup_of(tmp_path, tmp_path, settings=lambda _tenant: LoopSettings(dataset=now))
    with pytest.raises(
        TrainingError, match=rf"dataset d1 was built before .* excluded API keys \({named}\); build it again"
    ):
        asyncio.run(train_dataset(setup, KafkaSettings(), OLD, print))
