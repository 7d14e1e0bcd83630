"""A tiny base model, a dataset, and training runs in forked processes that can be killed."""

import multiprocessing
import os
import sys
import time
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from stream.loop.training.__main__ import _run
from stream.loop.training.job import Line, RunFolder, Trained, TrainingJob
from support.gate_dataset import write_digests

_MESSAGES = pa.list_(pa.struct([("role", pa.string()), ("content", pa.string())]))
_SCHEMA = pa.schema(
    [("id", pa.string()), ("kind", pa.string()), ("prompt", _MESSAGES), ("completion", pa.string()), ("label", pa.bool_())]
)  # fmt: skip
#: Imports once and forks each run, since the imports take about ten seconds.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["stream.loop.training.lora", "stream.loop.training.version"])


def save_dataset(folder: Path, count: int = 24, *, kind: str = "sft") -> Path:
    """Write `count` rows with three different answers; for ``kto``, with thumbs up and down in turn."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = [
        {
            "id": f"r{n}",
            "kind": kind,
            "prompt": [{"role": "user", "content": f"question {n}"}],
            "completion": f"answer {n % 3}",
            "label": n % 2 == 0 if kind == "kto" else None,
        }
        for n in range(count)
    ]
    pq.write_table(pa.Table.from_pylist(rows, schema=_SCHEMA), folder / "train.parquet", compression="zstd")
    return write_digests(folder)


def tiny_job(base: Path, dataset: Path, **changes) -> TrainingJob:
    given = {
        "tenant": "acme",
        "model": "tiny",
        "base": str(base),
        "base_digest": "b" * 64,
        "dataset": str(dataset),
        "dataset_digest": "d" * 64,
        "epochs": 2,
        "batch_examples": 4,
        "learning_rate": 1e-2,
        "checkpoint_seconds": 0.0,
    }
    return TrainingJob(**given | changes)


class ForkedRun:
    """A training run in its own process."""

    def __init__(self, home: Path, name: str, job: TrainingJob) -> None:
        self.folder = RunFolder.of(home, name)
        self.folder.path.mkdir(parents=True, exist_ok=True)
        self.folder.job.write_bytes(msgspec.json.encode(job))
        self._lines = self.folder.path / f"lines.{time.monotonic_ns()}"
        self.process = FORKS.Process(target=_target, args=(home, self.folder, self._lines))
        self.process.start()

    @property
    def lines(self) -> list[Line]:
        if not self._lines.exists():
            return []
        return [msgspec.json.decode(line, type=Line) for line in self._lines.read_bytes().split(b"\n")[:-1]]

    def until(self, reached, seconds: float = 60.0) -> None:
        deadline = time.monotonic() + seconds
        while not reached():
            assert self.process.is_alive(), f"the run ended with {self.process.exitcode}: {self.lines[-1:]}"
            assert time.monotonic() < deadline
            time.sleep(0.001)

    def kill(self) -> None:
        self.process.kill()
        self.process.join()

    def trained(self, seconds: float = 90.0) -> Trained:
        self.process.join(seconds)
        assert self.process.exitcode == 0, self.folder.log.read_text()[-4000:]
        (last,) = self.lines[-1:]
        assert isinstance(last, Trained), last
        return last


def _target(home: Path, folder: RunFolder, lines: Path) -> None:
    log = os.open(folder.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(log, 1)
    os.dup2(log, 2)
    out = os.open(lines, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    sys.exit(_run(home, folder, lambda line: os.write(out, msgspec.json.encode(line) + b"\n")))
