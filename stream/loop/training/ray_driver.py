"""Run a training job on a Ray cluster: a ``TorchTrainer`` of Ray Train, whose rows are a data set of Ray Data.

The process of the run is Ray's driver: it ends with the trainer, and Ray ends the workers of a driver that died. After the death of a worker, Ray
starts all workers again from the newest checkpoint. A new driver also continues from the newest checkpoint of the same inputs
(`stream.loop.training.ray_checkpoints`).
"""

import logging
import queue
import shutil
import signal
import socket
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import ray
import ray.data
from ray.exceptions import RayActorError
from ray.train import CheckpointConfig, DataConfig, FailureConfig, Result, RunConfig, ScalingConfig, TrainingFailedError
from ray.train.torch import TorchTrainer
from ray.util.queue import Queue

from stream.loop.training.checkpoints import read_checkpoint
from stream.loop.training.errors import TrainingError
from stream.loop.training.job import Failed, Line, Outcome, RayCluster, RunFolder, TrainingJob
from stream.loop.training.ray_checkpoints import DriverFolder, take_over
from stream.loop.training.ray_entry import train_worker
from stream.loop.training.rows import RAY_DATASET, training_table
from stream.loop.training.signing import ADAPTER_FILES

_LOG = logging.getLogger(__name__)
#: Deaths of workers after which a run continues; as often as a process on this machine is started again.
_FAILURES = 3
_KEPT = 2
_CONNECT_SECONDS = 10.0
_POLL_SECONDS = 1.0


def train_on_cluster(job: TrainingJob, folder: RunFolder, report: Callable[[Line], None]) -> Outcome:
    """Run `job` on the workers of ``job.ray`` to its end, or until SIGTERM; a run continues from its newest checkpoint.

    Raises TrainingError if the cluster does not answer, the run fails, or its workers died more than three times.
    """
    cluster = job.ray
    assert cluster is not None
    table = training_table(Path(job.dataset), job.method)
    _connect(cluster, folder.environment() | {"OMP_NUM_THREADS": str(job.threads)})
    try:
        lines = Queue(actor_options={"num_cpus": 0})
        found = take_over(cluster.storage or str(folder.ray.absolute()), job.weights_key())
        fit = _Fit(_trainer(job, cluster, table, lines, found))
        signal.signal(signal.SIGTERM, fit.interrupt)  # after ray.init, which sets a handler of its own
        if not fit.follow(lines, report):
            return Outcome(adapter=None, numbers={})
        return _outcome(job, folder, fit.result(cluster), found, len(table))
    finally:
        ray.shutdown()


def _connect(cluster: RayCluster, environment: dict[str, str]) -> None:
    host, _, port = cluster.address.rpartition(":")
    try:
        if port.isdigit():  # `ray.init` tries for some minutes
            socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_SECONDS).close()
        ray.init(
            address=cluster.address,
            runtime_env={"env_vars": environment},
            logging_level=logging.WARNING,
            log_to_driver=False,  # the logs of workers stay on their nodes
        )
    except (OSError, RuntimeError, ValueError) as error:
        raise TrainingError(
            f"the Ray cluster at {cluster.address} does not answer ({type(error).__name__}); start it, or correct"
            " [train] address; this machine must be a node of the cluster"
        ) from error


def _trainer(job: TrainingJob, cluster: RayCluster, table: pa.Table, lines: Queue, found: DriverFolder) -> TorchTrainer:
    return TorchTrainer(
        train_worker,
        train_loop_config={"job": job, "lines": lines, "checkpoint": found.checkpoint},
        scaling_config=ScalingConfig(
            num_workers=cluster.workers,
            use_gpu=cluster.use_gpu,
            resources_per_worker={"CPU": job.threads, **({"GPU": 1} if cluster.use_gpu else {})},
        ),
        datasets={RAY_DATASET: ray.data.from_arrow(table)},
        # Each worker reads all rows in their order; transformers gives it its share of each step.
        dataset_config=DataConfig(datasets_to_split=[]),
        run_config=RunConfig(
            name=found.name,
            storage_path=found.storage,
            failure_config=FailureConfig(max_failures=_FAILURES),
            checkpoint_config=CheckpointConfig(num_to_keep=_KEPT),
        ),
    )


class _Fit:
    """``trainer.fit()`` in a thread, while this thread reports the lines of the workers."""

    def __init__(self, trainer: TorchTrainer) -> None:
        self._trainer = trainer
        self._result: Result | None = None
        self._error: Exception | None = None
        self._interrupted = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._result = self._trainer.fit()
        except Exception as error:  # noqa: BLE001 - raised again in the main thread
            self._error = error

    def interrupt(self, *_signal: Any) -> None:
        """End :meth:`follow`; the run continues later from its newest checkpoint."""
        self._interrupted.set()

    def follow(self, lines: Queue, report: Callable[[Line], None]) -> bool:
        """Report `lines` until the run ends; return False if it was interrupted. Raises TrainingError if a worker did."""
        while not self._interrupted.is_set():
            running = self._thread.is_alive()
            try:
                line = lines.get(timeout=_POLL_SECONDS)
            except queue.Empty:
                if not running:
                    return True
                continue
            if isinstance(line, Failed):
                raise TrainingError(line.reason)
            report(line)
        return False

    def result(self, cluster: RayCluster) -> Result:
        """Return the result of the run that ended.

        Raises TrainingError if the run failed, and RayActorError if a process of Ray died, after which the run can continue.
        """
        if isinstance(self._error, RayActorError):
            raise self._error
        if self._error is not None:
            _LOG.error("Ray Train: %s", type(self._error).__name__)
            died = "its workers ended early" if isinstance(self._error, TrainingFailedError) else "Ray Train failed"
            raise TrainingError(
                f"{died} ({type(self._error).__name__}); see the logs of the Ray cluster at {cluster.address}"
            ) from self._error
        assert self._result is not None
        return self._result


def _outcome(job: TrainingJob, folder: RunFolder, result: Result, found: DriverFolder, rows: int) -> Outcome:
    """Copy the adapter of the last checkpoint to the folder of the run: of the one taken over, if it was made after the last step."""
    last = result.checkpoint or found.checkpoint
    if last is None:
        raise TrainingError(f"the run has no checkpoint in {result.path}")
    with last.as_directory() as path:
        checkpoint = read_checkpoint(Path(path), job.weights_key())
        if checkpoint is None:
            raise TrainingError(f"the last checkpoint in {result.path} is damaged; delete it and train again")
        shutil.rmtree(folder.adapter, ignore_errors=True)
        folder.adapter.mkdir(mode=0o700)
        for name in sorted(ADAPTER_FILES):
            shutil.copyfile(checkpoint.path / name, folder.adapter / name)
    return Outcome(adapter=folder.adapter, numbers=checkpoint.numbers | {"rows": float(rows)})
