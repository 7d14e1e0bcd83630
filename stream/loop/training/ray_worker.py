"""A worker of Ray Train: trains a LoRA adapter together with the other workers of the run.

All workers compute the same steps, and each computes an equal share of the rows of a step. Worker 0 decides when all of
them save or stop, because their clocks differ.
"""

import contextlib
import shutil
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa
import ray.train
import torch
from transformers import TrainerControl, TrainerState, TrainingArguments

from stream.loop.training.checkpoints import Checkpoint, describe, read_checkpoint
from stream.loop.training.errors import TrainingError
from stream.loop.training.job import Failed, Line, TrainingJob
from stream.loop.training.lora import RunCallback, make_trainer, prepare_libraries
from stream.loop.training.rows import RAY_DATASET, training_rows


def train_worker(config: dict[str, Any]) -> None:
    """Train ``config["job"]`` as one of the workers, and put progress and errors into the queue ``config["lines"]``.

    Without a newer checkpoint, the run continues from ``config["checkpoint"]``, or begins if this is None.
    """
    put = config["lines"].put
    try:
        _train(config["job"], config["checkpoint"], put)
    except TrainingError as error:
        put(Failed(reason=str(error)))
        raise


def _train(job: TrainingJob, first: ray.train.Checkpoint | None, report: Callable[[Line], None]) -> None:
    prepare_libraries(job)
    with contextlib.ExitStack() as stack:
        draft = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="weir-train-")))
        resumed = _resumed(job, ray.train.get_checkpoint() or first, stack)
        bounds = _WorkerCallback(job, report, partial(_store, key=job.weights_key()), resumed)
        batches = ray.train.get_dataset_shard(RAY_DATASET).iter_batches(batch_size=None, batch_format="pyarrow")
        trainer = make_trainer(job, training_rows(pa.concat_tables(batches), job.method), draft, bounds)
        trainer.train(resume_from_checkpoint=str(resumed.path) if resumed else None)


def _resumed(job: TrainingJob, newest: ray.train.Checkpoint | None, stack: contextlib.ExitStack) -> Checkpoint | None:
    """Return the newest checkpoint, or None if there is none or it is damaged."""
    if newest is None:
        return None
    return read_checkpoint(Path(stack.enter_context(newest.as_directory())), job.weights_key())


def _store(folder: Path, *, seconds: float, numbers: dict[str, float], key: str) -> None:
    """Copy a checkpoint to Ray's storage, which merges the files of all workers; worker 0 describes it."""
    folder.mkdir(exist_ok=True)
    if ray.train.get_context().get_world_rank() == 0:
        describe(folder, key=key, seconds=seconds, numbers=numbers)
    ray.train.report(numbers, checkpoint=ray.train.Checkpoint.from_directory(str(folder)))
    shutil.rmtree(folder)


class _WorkerCallback(RunCallback):
    """Saves and stops as worker 0 does, also at the end of the run, whose checkpoint contains the adapter."""

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **more: Any
    ) -> TrainerControl:
        """Take over the decisions of worker 0."""
        control = super().on_step_end(args, state, control, **more)
        stops = control.should_training_stop or state.global_step >= state.max_steps
        flags = torch.tensor([stops, stops or control.should_save], dtype=torch.int32, device=args.device)
        torch.distributed.broadcast(flags, src=0)
        control.should_training_stop, control.should_save = (bool(flag) for flag in flags.tolist())
        return control
