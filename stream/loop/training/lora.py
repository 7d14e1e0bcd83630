"""Train a LoRA adapter with peft and trl, from the newest checkpoint on."""

import logging
import math
import shutil
import signal
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from datasets import Dataset, disable_progress_bars
from peft import LoraConfig
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from trl.trainer.kto_config import KTOConfig
from trl.trainer.kto_trainer import KTOTrainer
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from stream.loop.training.base_model import linear_modules, load_base
from stream.loop.training.checkpoints import Checkpoint, newest_checkpoint, seal
from stream.loop.training.errors import TrainingError
from stream.loop.training.job import Line, Outcome, Progress, RunFolder, TrainingJob, check_memory
from stream.loop.training.rows import training_rows, training_table

#: LoRA's scale is alpha / rank.
_ALPHA_PER_RANK = 2


def train(job: TrainingJob, folder: RunFolder, report: Callable[[Line], None]) -> Outcome:
    """Run `job` to its end; on SIGTERM, write a checkpoint and stop.

    A run that was killed continues from its newest intact checkpoint. If ``job.threads`` is 1, the adapter is the same
    as that of an uninterrupted run.

    Raises TrainingError if the loss is not finite, the memory exceeds its bound, or the dataset has too few rows.
    """
    prepare_libraries(job)
    rows = training_rows(training_table(Path(job.dataset), job.method), job.method)
    shutil.rmtree(folder.draft, ignore_errors=True)
    folder.checkpoints.mkdir(parents=True, exist_ok=True)
    resumed = newest_checkpoint(folder.checkpoints, job.weights_key())
    store = partial(seal, checkpoints=folder.checkpoints, key=job.weights_key())
    bounds = RunCallback(job, report, store, resumed)
    trainer = make_trainer(job, rows, folder.draft, bounds)
    signal.signal(signal.SIGTERM, bounds.interrupt)
    trainer.train(resume_from_checkpoint=str(resumed.path) if resumed else None)
    if bounds.interrupted:
        return Outcome(adapter=None, numbers=bounds.numbers)
    shutil.rmtree(folder.adapter, ignore_errors=True)
    trainer.model.save_pretrained(str(folder.adapter), save_embedding_layers=False)
    return Outcome(adapter=folder.adapter, numbers=bounds.numbers | {"rows": float(len(rows))})


def prepare_libraries(job: TrainingJob) -> None:
    """Set the threads of `job` and deterministic algorithms; disable progress bars, and the warnings of trl, which quote prompts."""
    disable_progress_bars()
    logging.getLogger("trl").setLevel(logging.ERROR)
    torch.set_num_threads(job.threads)
    torch.use_deterministic_algorithms(mode=True, warn_only=True)


def make_trainer(job: TrainingJob, rows: Dataset, draft: Path, bounds: "RunCallback") -> Any:
    """Return trl's trainer of `job` for this process, which is the only one or a Ray worker; checkpoints are written to `draft`."""
    model, tokenizer = load_base(Path(job.base))
    layers = model.config.num_hidden_layers
    first = max(0, layers - job.layers) if job.layers else 0
    adapter = LoraConfig(
        r=job.rank,
        lora_alpha=_ALPHA_PER_RANK * job.rank,
        target_modules=linear_modules(model),
        layers_to_transform=list(range(first, layers)),
        task_type="CAUSAL_LM",
    )
    share = job.batch_examples // (job.ray.workers if job.ray else 1)
    arguments: dict[str, Any] = {
        "output_dir": str(draft),
        "num_train_epochs": job.epochs,
        "max_steps": job.max_steps or -1,
        "per_device_train_batch_size": max(share, 2) if job.method == "kto" else share,
        "learning_rate": job.learning_rate,
        "max_length": job.max_tokens,
        "seed": job.seed,
        "data_seed": job.seed,
        "bf16": job.bfloat16,
        "use_cpu": not torch.cuda.is_available(),
        "gradient_checkpointing": False,
        "ddp_find_unused_parameters": False,
        "dataloader_pin_memory": False,
        "save_strategy": "no",  # the callback saves by time
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "report_to": [],
        "disable_tqdm": True,
    }
    common: dict[str, Any] = {"peft_config": adapter, "callbacks": [bounds], "train_dataset": rows}
    kind: Any
    kind, config = (SFTTrainer, SFTConfig) if job.method == "sft" else (KTOTrainer, KTOConfig)
    trainer = kind(model, args=config(**arguments), processing_class=tokenizer, **common)
    if not len(trainer.train_dataset):  # trl leaves out a row whose prompt fills `max_length`
        raise TrainingError(
            f"none of {len(rows)} rows fits: each prompt has max_tokens = {job.max_tokens} tokens or more;"
            " raise [tenants.NAME.loop.train] max_tokens"
        )
    return trainer


class RunCallback(TrainerCallback):
    """Reports progress, stores checkpoints by time, and applies the bounds of time and memory.

    `store` is called with the folder of a checkpoint that transformers has written, `seconds` and `numbers`.
    """

    def __init__(
        self,
        job: TrainingJob,
        report: Callable[[Line], None],
        store: Callable[..., None],
        resumed: Checkpoint | None,
    ) -> None:
        self._job, self._report, self._store = job, report, store
        self._began = time.monotonic() - (resumed.seconds if resumed else 0.0)
        self._saved = time.monotonic()
        self.interrupted = False
        self.numbers: dict[str, float] = resumed.numbers if resumed else {}

    @property
    def _seconds(self) -> float:
        return time.monotonic() - self._began

    def interrupt(self, _signal: int, _frame: FrameType | None) -> None:
        """Stop after the present step, with a checkpoint."""
        self.interrupted = True

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_more: Any
    ) -> TrainerControl:
        """Decide whether to save and to stop; raises TrainingError if the memory exceeds its bound."""
        del args
        check_memory(self._job, ", or lower batch_examples or max_tokens")
        last = state.global_step >= state.max_steps
        if self._seconds > self._job.max_seconds or self.interrupted:
            control.should_training_stop = True
        due = time.monotonic() - self._saved >= self._job.checkpoint_seconds
        control.should_save = not last and (due or self.interrupted)
        return control

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_more: Any) -> None:
        """Store the checkpoint."""
        del control
        assert args.output_dir is not None  # `TrainingArguments` of this run name it
        folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
        self._store(folder, seconds=self._seconds, numbers=self.numbers)
        self._saved = time.monotonic()

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_more: Any,
    ) -> None:
        """Report a step; raises TrainingError if the loss is not finite."""
        del args, control
        loss = (logs or {}).get("loss")
        if loss is None:
            return
        if not math.isfinite(loss):
            raise TrainingError(f"the loss is {loss} after step {state.global_step}; lower the learning_rate")
        progress = Progress(
            step=state.global_step, steps=state.max_steps, loss=float(loss), seconds=round(self._seconds, 3)
        )
        self.numbers = progress.numbers()
        if state.is_world_process_zero:
            self._report(progress)
