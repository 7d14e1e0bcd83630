"""Train a LoRA adapter with peft and trl, from the newest checkpoint on."""

import math
import shutil
import signal
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any

import msgspec
import torch
from datasets import Dataset
from peft import LoraConfig
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from trl.trainer.kto_config import KTOConfig
from trl.trainer.kto_trainer import KTOTrainer
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from stream.loop.training.base_model import linear_modules, load_base
from stream.loop.training.checkpoints import newest_checkpoint, seal
from stream.loop.training.errors import TrainingError
from stream.loop.training.job import Line, Progress, RunFolder, TrainingJob
from stream.loop.training.rows import training_rows

__all__ = ["Outcome", "train"]

_PAGE = 4096
#: LoRA's scale is alpha / rank.
_ALPHA_PER_RANK = 2


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """The adapter's folder and the numbers of the run; `adapter` is None if SIGTERM interrupted the run."""

    adapter: Path | None
    numbers: dict[str, float]


def train(job: TrainingJob, folder: RunFolder, report: Callable[[Line], None]) -> Outcome:
    """Run `job` to its end, or until SIGTERM, after a checkpoint.

    A run that was killed continues from its newest intact checkpoint, and makes the same adapter as an uninterrupted run
    if ``job.threads`` is 1.

    Raises TrainingError if the loss is not finite, the memory exceeds its bound, or the dataset has too few rows.
    """
    torch.set_num_threads(job.threads)
    torch.use_deterministic_algorithms(mode=True, warn_only=True)
    model, tokenizer = load_base(Path(job.base))
    rows = training_rows(Path(job.dataset), job.method)
    shutil.rmtree(folder.draft, ignore_errors=True)
    folder.checkpoints.mkdir(parents=True, exist_ok=True)
    resumed = newest_checkpoint(folder.checkpoints, job.weights_key())
    bounds = _Run(job, folder, report, seconds_before=resumed.seconds if resumed else 0.0)
    trainer = _trainer(job, model, tokenizer, rows, bounds)
    signal.signal(signal.SIGTERM, bounds.interrupt)
    trainer.train(resume_from_checkpoint=str(resumed.path) if resumed else None)
    if bounds.interrupted:
        return Outcome(adapter=None, numbers=bounds.numbers)
    adapter = folder.path / "adapter"
    shutil.rmtree(adapter, ignore_errors=True)
    trainer.model.save_pretrained(str(adapter), save_embedding_layers=False)
    return Outcome(adapter=adapter, numbers=bounds.numbers | {"rows": float(len(rows))})


def _trainer(job: TrainingJob, model: Any, tokenizer: Any, rows: Dataset, bounds: "_Run") -> Any:
    layers = model.config.num_hidden_layers
    first = max(0, layers - job.layers) if job.layers else 0
    adapter = LoraConfig(
        r=job.rank,
        lora_alpha=_ALPHA_PER_RANK * job.rank,
        target_modules=linear_modules(model),
        layers_to_transform=list(range(first, layers)),
        task_type="CAUSAL_LM",
    )
    arguments: dict[str, Any] = {
        "output_dir": str(bounds.draft),
        "num_train_epochs": job.epochs,
        "max_steps": job.max_steps or -1,
        "per_device_train_batch_size": max(job.batch_examples, 2) if job.method == "kto" else job.batch_examples,
        "learning_rate": job.learning_rate,
        "max_length": job.max_tokens,
        "seed": job.seed,
        "data_seed": job.seed,
        "bf16": job.bfloat16,
        "use_cpu": not torch.cuda.is_available(),
        "gradient_checkpointing": False,
        "dataloader_pin_memory": False,
        "save_strategy": "no",  # the callback saves by time
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "report_to": [],
        "disable_tqdm": True,
    }
    common: dict[str, Any] = {"peft_config": adapter, "callbacks": [bounds], "train_dataset": rows}
    if job.method == "sft":
        return SFTTrainer(model, args=SFTConfig(**arguments), processing_class=tokenizer, **common)
    return KTOTrainer(model, args=KTOConfig(**arguments), processing_class=tokenizer, **common)


class _Run(TrainerCallback):
    """Reports progress, saves checkpoints by time, and applies the bounds of time and memory."""

    def __init__(
        self, job: TrainingJob, folder: RunFolder, report: Callable[[Line], None], *, seconds_before: float
    ) -> None:
        self._job, self._folder, self._report = job, folder, report
        self._began = time.monotonic() - seconds_before
        self._saved = time.monotonic()
        self.interrupted = False
        self.numbers: dict[str, float] = {}

    @property
    def draft(self) -> Path:
        """The folder that transformers writes checkpoints to."""
        return self._folder.draft

    @property
    def _seconds(self) -> float:
        return time.monotonic() - self._began

    def interrupt(self, _signal: int, _frame: FrameType | None) -> None:
        """Stop after the present step, with a checkpoint."""
        self.interrupted = True

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_more: Any
    ) -> TrainerControl:
        """Decide whether to save and to stop."""
        del args
        used = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * _PAGE
        if used > self._job.memory_bytes:
            raise TrainingError(
                f"the run uses {used >> 20} MiB, the limit is {self._job.memory_bytes >> 20} MiB; raise [train] memory_mib,"
                " or lower batch_examples or max_tokens"
            )
        last = state.global_step >= state.max_steps
        if self._seconds > self._job.max_seconds or self.interrupted:
            control.should_training_stop = True
        due = time.monotonic() - self._saved >= self._job.checkpoint_seconds
        control.should_save = not last and (due or self.interrupted)
        return control

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_more: Any) -> None:
        """Make the checkpoint durable."""
        del args, control
        seal(
            self.draft / f"checkpoint-{state.global_step}",
            self._folder.checkpoints,
            key=self._job.weights_key(),
            seconds=self._seconds,
        )
        self._saved = time.monotonic()

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_more: Any,
    ) -> None:
        """Report a step."""
        del args, control
        loss = (logs or {}).get("loss")
        if loss is None:
            return
        if not math.isfinite(loss):
            raise TrainingError(f"the loss is {loss} after step {state.global_step}; lower the learning_rate")
        self.numbers = {
            "step": float(state.global_step),
            "steps": float(state.max_steps),
            "loss": float(loss),
            "seconds": round(self._seconds, 3),
        }
        self._report(
            Progress(step=state.global_step, steps=state.max_steps, loss=float(loss), seconds=round(self._seconds, 3))
        )
