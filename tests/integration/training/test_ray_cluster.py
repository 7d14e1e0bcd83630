"""Training on two workers of a Ray cluster: after kill -9 of a worker, of Ray's controller and of the driver, the adapter is the same."""

import asyncio
import json
import os
import signal
from pathlib import Path

import msgspec
import pytest
from safetensors.numpy import load_file
from support.ray_cluster import ray_cluster
from support.tiny_gguf import save_tiny_gguf
from support.tiny_training import save_dataset, tiny_job

from stream.loop.training.errors import TrainingError
from stream.loop.training.job import RayCluster, RunFolder, VersionFolder
from stream.loop.training.process import run_training
from stream.loop.training.signing import verify_version

#: Each run starts Ray workers: half a minute of an idle machine, some minutes of a busy one.
pytestmark = pytest.mark.timeout(1500)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with ray_cluster(tmp_path_factory.mktemp("ray")) as layout, pytest.MonkeyPatch.context() as patch:
        for name, value in layout.environment().items():
            patch.setenv(name, value)
        # Each checkpoint waits for this interval, and here each step has a checkpoint.
        patch.setenv("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.2")
        # An actor of each run that asks a cloud whether it takes a node away.
        patch.setenv("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")
        yield RayCluster(address=layout.address, workers=2)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return save_tiny_gguf(tmp_path_factory.mktemp("base"))


def actors(name):
    """Return the process ids of the actors of the class `name` that this test's cluster started, sorted."""
    token = os.environ["RAY_AUTH_TOKEN_PATH"].encode()
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        try:
            title = (path / "cmdline").read_bytes()
            if title.startswith(b"ray::") and name in title and token in (path / "environ").read_bytes():
                found.append(int(path.name))
        except OSError:
            continue
    return sorted(found)


def processes(home):
    """Return the process ids of the drivers of runs in `home`."""
    mine = str(home).encode()
    return [
        int(path.parent.name)
        for path in Path("/proc").glob("[0-9]*/cmdline")
        if b"stream.loop.training" in (content := _content(path)) and mine in content
    ]


def _content(path):
    try:
        return path.read_bytes()
    except OSError:
        return b""


async def trained(home, job, kills=()):
    """Run `job`. Each of `kills` is (step, function): after the step, send SIGKILL to the process that the function returns."""
    steps, restarts, left = [], [], list(kills)

    def progress(line):
        steps.append(line.step)
        if left and line.step >= left[0][0]:
            os.kill(left.pop(0)[1](), signal.SIGKILL)

    done = await run_training(home, RunFolder.of(home, "run"), job, progress, lambda: restarts.append(1))
    assert not left
    return done, steps, len(restarts)


@pytest.fixture(scope="module")
def job(cluster, base, tmp_path_factory):
    return tiny_job(base, save_dataset(tmp_path_factory.mktemp("dataset")), ray=cluster)


@pytest.fixture(scope="module")
def whole(job, tmp_path_factory):
    """Return the home, the result and the steps of a run without interruption."""
    home = tmp_path_factory.mktemp("whole")
    done, steps, _ = asyncio.run(trained(home, job))
    return home, done, steps


def test_two_workers_train_all_rows(whole):
    _, done, steps = whole
    assert steps == list(range(1, 13))
    assert done.numbers["rows"] == 24


async def test_a_run_that_is_killed_continues_to_the_same_adapter(tmp_path, job, whole):
    kills = [
        (3, lambda: actors(b"RayTrainWorker")[-1]),
        (6, lambda: actors(b"TrainController")[-1]),
        (9, lambda: processes(tmp_path)[-1]),
    ]
    again, steps, restarts = await trained(tmp_path, job, kills)
    assert steps.count(1) == 1, "each later process continued from a checkpoint"
    assert steps[-1] == 12
    assert restarts == 2, "Ray replaced the worker; the kills of its controller and of the driver needed a restart"
    snapshot = next(RunFolder.of(tmp_path, "run").ray.glob("*/checkpoint_manager_snapshot.json"))
    assert len(json.loads(snapshot.read_text())["checkpoint_results"]) == 2
    assert verify_version(tmp_path, again.version).job == job
    assert again.version == whole[1].version


async def test_two_workers_compute_the_steps_of_one_process(tmp_path, job, whole):
    """The rows of each step are the same; the sums of the gradients differ by rounding."""
    home, two, _ = whole
    one, _, _ = await trained(tmp_path, msgspec.structs.replace(job, ray=None))
    assert two.numbers["loss"] == pytest.approx(one.numbers["loss"], abs=1e-3)
    first = load_file(VersionFolder.of(tmp_path, one.version).weights)
    second = load_file(VersionFolder.of(home, two.version).weights)
    assert first.keys() == second.keys()
    for name, weights in first.items():
        assert weights == pytest.approx(second[name], abs=1e-2), name


async def test_an_error_of_a_worker_ends_the_run_with_its_reason(tmp_path, job):
    one = msgspec.structs.replace(job.ray, workers=1)
    with pytest.raises(TrainingError, match="the limit is 1 MiB"):
        await trained(tmp_path, msgspec.structs.replace(job, memory_bytes=1 << 20, ray=one))


async def test_a_cluster_that_does_not_answer_is_named(tmp_path, base):
    away = RayCluster(address="127.0.0.1:1", workers=2)
    with pytest.raises(TrainingError, match=r"the Ray cluster at 127\.0\.0\.1:1 does not answer"):
        await trained(tmp_path, tiny_job(base, save_dataset(tmp_path / "data"), ray=away))
