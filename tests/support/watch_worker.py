"""A watch worker as a process of its own, that a test can kill: ``python -m support.watch_worker '{"kafka": …}'``."""

import json
import logging
import sys
from pathlib import Path

from opentelemetry.sdk.trace import TracerProvider
from prometheus_client import CollectorRegistry

from stream.runtime import worker
from stream.settings import KafkaSettings, WatchSettings
from stream.stages.watch_app import create_app


def main(text: str) -> int:
    logging.basicConfig(level=logging.INFO)
    given = json.loads(text)
    app = create_app(
        KafkaSettings(**given["kafka"]),
        WatchSettings(),
        given["tenants"],
        data_dir=Path(given["data_dir"]),
        registry=CollectorRegistry(),
        tracer_provider=TracerProvider(),
    )
    return worker.run(app)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
