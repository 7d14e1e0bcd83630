"""A trainer of a tiny model, in this process or in one that a test can kill: ``python -m support.trainer_process '{…}'``."""

import asyncio
import contextlib
import json
import logging
import os
import sys
from pathlib import Path

from prometheus_client import CollectorRegistry

from stream.loop.settings import LoopSettings, TrainSettings
from stream.loop.training.agent import run_trainer
from stream.loop.training.run import BaseModel, TrainerSetup
from stream.settings import KafkaSettings

ROOT = Path(__file__).parents[2]
DIGEST = "d" * 64
SETTINGS = LoopSettings(
    mode="approve",
    train={"epochs": 6, "batch_examples": 4, "learning_rate": 0.01, "checkpoint_seconds": 0.5, "max_tokens": 64},
)


def printed(value) -> list[str]:
    return [sys.executable, "-c", f"print({json.dumps(json.dumps(value))})"]


def setup_of(home: Path, base: Path, **changes) -> TrainerSetup:
    """Return the setup of a trainer whose dataset exists and whose gate blesses every version; `changes` replace fields."""
    decision = {"decision": {"state": "blessed", "reason": "not worse"}, "numbers": {"e_safe": 25.0}}
    given = {
        "home": home,
        "train": TrainSettings(lease_seconds=4, threads=1),
        "settings": lambda _tenant: SETTINGS,
        "base": lambda _model: BaseModel(base, "b" * 64),
        "dataset_command": lambda _request: printed({"digest": DIGEST}),
        "gate_command": lambda _version: printed(decision),
        "mirror_command": lambda _version: printed({}),
    }
    return TrainerSetup(**given | changes)


@contextlib.asynccontextmanager
async def trainer(kafka: KafkaSettings, setup: TrainerSetup):
    """Run a trainer in this process; yield its health."""
    stop, health = asyncio.Event(), {}
    task = asyncio.create_task(
        run_trainer(kafka=kafka, setup=setup, registry=CollectorRegistry(), stop=stop, health=health)
    )
    try:
        yield health
    finally:
        stop.set()
        await task


async def trainer_process(kafka: KafkaSettings, home: Path, base: Path, log: Path) -> asyncio.subprocess.Process:
    given = {"kafka": kafka.model_dump(mode="json", exclude={"sasl_password"}), "home": str(home), "base": str(base)}
    environment = os.environ | {"PYTHONPATH": f"{ROOT / 'tests'}:{ROOT}"}
    with log.open("ab") as out:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "support.trainer_process",
            json.dumps(given),
            cwd=ROOT,
            env=environment,
            stdout=out,
            stderr=out,
        )


async def main(given: dict) -> None:
    async with trainer(KafkaSettings(**given["kafka"]), setup_of(Path(given["home"]), Path(given["base"]))):
        await asyncio.Event().wait()


if __name__ == "__main__":
    logging.basicConfig(level=logging.INFO)
    asyncio.run(main(json.loads(sys.argv[1])))
