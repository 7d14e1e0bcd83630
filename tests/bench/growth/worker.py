"""A score worker whose one detector takes a fixed time an event: ``python -m bench.growth.worker KAFKA FOLDER SECONDS``."""

import json
import logging
import sys
from pathlib import Path

import msgspec
from opentelemetry.sdk.trace import TracerProvider
from prometheus_client import CollectorRegistry
from support.score_stack import DOUBLES

from stream.runtime.worker import run
from stream.settings import DetectorSettings, KafkaSettings, ScoreSettings, WatchSettings
from stream.stages.score_app import create_app


def main(kafka: str, folder: str, seconds: str) -> int:
    logging.basicConfig(level=logging.WARNING)
    app = create_app(
        KafkaSettings(**json.loads(kafka)),
        DetectorSettings(),
        ScoreSettings(),
        WatchSettings(),
        data_dir=Path(folder),
        registry=CollectorRegistry(),
        tracer_provider=TracerProvider(),
        spec=msgspec.structs.replace(DOUBLES, options={"pii": {"seconds_each": float(seconds)}}),
    )
    return run(app)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
