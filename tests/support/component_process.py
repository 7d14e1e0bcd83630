"""A component in its own process, which a test can kill or measure: ``python -m support.component_process NAME '{…}'``."""

import asyncio
import contextlib
import json
import logging
import os
import sys
from pathlib import Path

import msgspec
from opentelemetry.sdk.trace import TracerProvider
from prometheus_client import CollectorRegistry

from serving.capture.shipper import Shipper
from stream.ledger.service import run_ledger
from stream.runtime import worker
from stream.settings import DetectorSettings, KafkaSettings, LedgerSettings, ScoreSettings, WatchSettings
from stream.stages import score_app, watch_app
from support.doubles import DOUBLES

ROOT = Path(__file__).parents[2]


@contextlib.asynccontextmanager
async def component_process(name: str, directory: Path, kafka: KafkaSettings, **options):
    """Run shipper, ledger, score or watch with its files in `directory`, and kill it at the end; its log is beside it, ``DIRECTORY.log``."""
    given = {"directory": str(directory), "kafka": kafka.model_dump(mode="json", exclude={"sasl_password"}), **options}
    command = [sys.executable, "-m", "support.component_process", name, json.dumps(given)]
    environment = os.environ | {"PYTHONPATH": f"{ROOT / 'tests'}:{ROOT}"}
    with directory.with_name(f"{directory.name}.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, env=environment, stdout=log, stderr=log)
    try:
        yield process
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


def score(kafka, common, *, seconds=0.0, seconds_each=0.0, watchdog=60.0, batch_events=4):
    """Run a score worker whose detectors need `seconds` per batch and `seconds_each` per event."""
    delays = {name: {"seconds": seconds, "seconds_each": seconds_each} for name in DOUBLES.detectors}
    settings = ScoreSettings(batch_events=batch_events, deadline_seconds=1000, explain_findings=0)
    spec = msgspec.structs.replace(DOUBLES, options=delays)
    app = score_app.create_app(kafka, DetectorSettings(), settings, spec=spec, **common)
    app.watchdog_seconds = watchdog
    return worker.run(app)


def watch(kafka, common, *, tenants):
    return worker.run(watch_app.create_app(kafka, WatchSettings(), tenants, **common))


def main(name, text):
    logging.basicConfig(level=logging.INFO)
    options = json.loads(text)
    directory, kafka = Path(options.pop("directory")), KafkaSettings(**options.pop("kafka"))
    common = {"registry": CollectorRegistry(), "tracer_provider": TracerProvider()}
    if name in {"score", "watch"}:
        common["data_dir"] = directory
        return (score if name == "score" else watch)(kafka, common, **options)
    stop = asyncio.Event()
    if name == "ledger":
        parts = {"directory": directory, "kafka": kafka, "ledger": LedgerSettings(), "health": {}, "stop": stop}
        return asyncio.run(run_ledger(**parts, **common))
    topics = {"names": kafka.names, "partitions": kafka.partitions}
    return asyncio.run(Shipper(directory, kafka.client_options(), **topics, **common).run(stop))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
