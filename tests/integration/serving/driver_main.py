"""Runs the driver as the component `serve` does: `python driver_main.py HOME`, SIGTERM stops it."""

import asyncio
import json
import logging
import os
import signal
import sys
from pathlib import Path

from serving.driver import DriverError, end_without_ray, run_driver
from serving.ray_local import RayLayout, short_run_dir
from serving.settings import HttpSettings, ModelSettings
from stream.settings import DetectorSettings
from stream.telemetry import TraceSettings
from weir.settings import Settings


def main(home: Path) -> None:
    logging.basicConfig(level=logging.INFO)
    ports = json.loads((home / "ports.json").read_text())
    layout = RayLayout(short_run_dir(home), ports)
    os.environ.update(layout.driver_environment())

    from weir.application import application_args  # noqa: PLC0415 - imports Ray, which reads the environment then

    http = HttpSettings(port=ports["http"])
    settings = Settings(
        home=home,
        http=http,
        model=ModelSettings(name="echo", max_length=8192),
        detectors=DetectorSettings(input=("pii",), output=("pii",)),
    )
    traces = TraceSettings(endpoint="", headers={}, ratio=1.0)
    args = application_args(settings, traces, edge_token_path=str(layout.edge_token_path))

    async def run() -> None:
        stop = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
        await run_driver(args, layout=layout, http=http, stop=stop, health={})

    try:
        asyncio.run(run())
    except DriverError as error:
        end_without_ray(error)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
