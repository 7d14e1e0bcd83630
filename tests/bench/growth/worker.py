"""A score worker whose one detector takes a fixed time an event: ``python -m bench.growth.worker '{…}'``."""

import json
import logging
import sys
from pathlib import Path

from opentelemetry.sdk.trace import TracerProvider
from prometheus_client import CollectorRegistry
from support import doubles

from stream.runtime.worker import run
from stream.settings import DetectorSettings, KafkaSettings, ScoreSettings, WatchSettings
from stream.stages.score.model_process import ModelSpec
from stream.stages.score_app import create_app


def main(text: str) -> int:
    logging.basicConfig(level=logging.WARNING)
    given = json.loads(text)
    spec = ModelSpec(
        threads=1,
        detectors=("pii",),
        create=doubles.create,
        embedder=None,
        options={"pii": {"seconds_each": given["delay"]}},
    )
    app = create_app(
        KafkaSettings(**given["kafka"]),
        DetectorSettings(),
        ScoreSettings(),
        WatchSettings(),
        data_dir=Path(given["directory"]) / "data",
        registry=CollectorRegistry(),
        tracer_provider=TracerProvider(),
        spec=spec,
    )
    return run(app)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
