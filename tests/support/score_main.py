"""A score worker as a process of its own: ``score_main.py BOOTSTRAP PREFIX DIRECTORY [SECONDS] [WATCHDOG]``."""

import logging
import sys
from pathlib import Path

import msgspec
from opentelemetry.sdk.trace import TracerProvider
from prometheus_client import CollectorRegistry

from stream.runtime.worker import run
from stream.settings import DetectorSettings, KafkaSettings, ScoreSettings, WatchSettings
from stream.stages.score_app import create_app
from support.score_stack import DOUBLES
from support.stage_lab import P, Q


def main(bootstrap, prefix, directory, seconds="0", watchdog="60"):
    logging.basicConfig(level=logging.INFO, stream=sys.stderr)
    options = {name: {"seconds": float(seconds)} for name in DOUBLES.detectors}
    app = create_app(
        KafkaSettings(bootstrap_servers=bootstrap, topic_prefix=prefix, partitions=P, stream_partitions=Q),
        DetectorSettings(),
        ScoreSettings(batch_events=4, deadline_seconds=1000, explain_findings=0),
        WatchSettings(watchdog_seconds=float(watchdog)),
        data_dir=Path(directory),
        registry=CollectorRegistry(),
        tracer_provider=TracerProvider(),
        spec=msgspec.structs.replace(DOUBLES, options=options),
    )
    return run(app)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
