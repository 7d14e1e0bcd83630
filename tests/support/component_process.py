"""The shipper or the ledger in its own process, to measure its memory: ``python -m support.component_process NAME '{…}'``."""

import asyncio
import contextlib
import json
import os
import signal
import sys
from pathlib import Path

from opentelemetry.sdk.trace import TracerProvider
from prometheus_client import CollectorRegistry

from serving.capture.shipper import run_shipper
from stream.ledger.service import run_ledger
from stream.settings import KafkaSettings, LedgerSettings

ROOT = Path(__file__).parents[2]


@contextlib.asynccontextmanager
async def component_process(name: str, directory: Path, kafka: KafkaSettings):
    """Run the shipper or the ledger over `directory`; its log is beside the directory."""
    arguments = {"directory": str(directory), "kafka": kafka.model_dump(mode="json", exclude={"sasl_password"})}
    with directory.with_name(f"{directory.name}.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "support.component_process",
            name,
            json.dumps(arguments),
            env=os.environ | {"PYTHONPATH": f"{ROOT / 'tests'}:{ROOT}"},
            stdout=log,
            stderr=log,
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await asyncio.wait_for(process.wait(), 30)


async def run(name: str, directory: Path, kafka: KafkaSettings) -> None:
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    common = {"registry": CollectorRegistry(), "tracer_provider": TracerProvider(), "stop": stop, "health": {}}
    if name == "shipper":
        await run_shipper(
            spool_root=directory,
            kafka_options=kafka.client_options(),
            names=kafka.names,
            partitions=kafka.partitions,
            **common,
        )
    else:
        await run_ledger(directory=directory, kafka=kafka, ledger=LedgerSettings(), **common)


if __name__ == "__main__":
    settings = json.loads(sys.argv[2])
    asyncio.run(run(sys.argv[1], Path(settings["directory"]), KafkaSettings(**settings["kafka"])))
