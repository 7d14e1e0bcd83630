"""Training with AdamW, an exponential moving average of the weights, and checkpoints to resume interrupted runs."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from detectors.errors import DataError

#: Function that prints a line of progress.
Log = Callable[[str], None]
BatchT = TypeVar("BatchT")
WEIGHT_DECAY = 0.01


def checkpoint_of(out: Path) -> Path:
    """Return the checkpoint of the run that writes ``out``."""
    return out.with_suffix(".checkpoint.safetensors")


#: The names of the tensors in a checkpoint; a checkpoint of another format is overwritten.
_FORMAT = 2


class AveragedTraining:
    """The trained parameters of a model by name, their first values, their moving average, and the number of completed steps, ``done``.

    ``average`` is the decay of the moving average; the decay is lower in the first steps. The checkpoint is beside ``out``, the file of the
    weights. A run resumes only from a checkpoint with the same ``task``.
    """

    def __init__(self, model: nn.Module, out: Path, *, average: float, task: str) -> None:
        self.parameters, self.done = {name: p for name, p in model.named_parameters() if p.requires_grad}, 0
        self.start = {name: p.detach().clone() for name, p in self.parameters.items()}
        self.averaged = {name: p.clone() for name, p in self.start.items()}
        self._optimizer = torch.optim.AdamW(self.parameters.values(), weight_decay=WEIGHT_DECAY)
        self._checkpoint, self._average = checkpoint_of(out), average
        self._task = f"{_FORMAT} {task}"

    def step(self, rate: float) -> None:
        """Update the parameters with their gradients, clipped to norm 1, at the learning rate ``rate``."""
        nn.utils.clip_grad_norm_(self.parameters.values(), 1.0)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.step()
        self._optimizer.zero_grad()
        self.done += 1
        decay = min(self._average, self.done / (self.done + 20))
        for name, p in self.parameters.items():
            self.averaged[name].lerp_(p.detach(), 1 - decay)

    def run(self, plan: Sequence[BatchT], take: Callable[[BatchT], float], log: Log, *, every: int) -> float:
        """Resume, and call ``take`` for each remaining batch; save and log every ``every`` steps; return the moving mean loss."""
        self.resume(log)
        begun, first, mean = time.monotonic(), self.done, 0.0
        for batch in plan[first:]:
            loss = take(batch)
            mean += (loss - mean) * max(0.02, 1 / (self.done - first))
            if self.done % every == 0:
                self.save()
                each = (time.monotonic() - begun) / (self.done - first)
                left = each * (len(plan) - self.done)
                log(f"step {self.done}/{len(plan)} loss {mean:.4f} {each:.2f} s a step, {left:.0f} s left")
        return mean

    def save(self) -> None:
        """Write the checkpoint atomically; raise DataError if it cannot be written, for example on a full disk."""
        state = {"done": torch.tensor(self.done)}
        for name, p in self.parameters.items():
            kept = {"value": p.detach(), "average": self.averaged[name], **self._optimizer.state[p]}
            state |= {f"{kind}.{name}": value for kind, value in kept.items()}
        partial = self._checkpoint.with_suffix(".partial")
        try:
            save_file({name: value.contiguous() for name, value in state.items()}, partial, {"task": self._task})
        except SafetensorError as error:
            raise DataError(
                f"{partial} cannot be written ({error}); free space on the disk, then continue the run"
            ) from error
        partial.replace(self._checkpoint)

    def resume(self, log: Log) -> None:
        """Continue from the checkpoint, if it exists and has the same task; raise DataError if the checkpoint is damaged."""
        if not self._checkpoint.exists():
            return
        try:
            with safe_open(self._checkpoint, "pt") as file:
                task = (file.metadata() or {}).get("task", "")
        except SafetensorError as error:
            raise DataError(f"{self._checkpoint} is damaged ({error}); delete it, and the run starts again") from error
        if task != self._task:
            log(f"{self._checkpoint} is of a run with other options or data, and is overwritten")
            return
        state = load_file(self._checkpoint)
        self.done = int(state["done"])
        with torch.no_grad():
            for name, p in self.parameters.items():
                p.copy_(state[f"value.{name}"])
                self.averaged[name].copy_(state[f"average.{name}"])
                self._optimizer.state[p] = {kind: state[f"{kind}.{name}"] for kind in ("step", "exp_avg", "exp_avg_sq")}
        log(f"resumes after step {self.done}")

    def finish(self) -> None:
        """Delete the checkpoint."""
        self._checkpoint.unlink(missing_ok=True)
