"""Run the detectors of docs/add-a-detector.md through the stages, the console and replay: ``python -m support.added_detector HOME``.

The process needs a copy of the detectors on PYTHONPATH, in which the document's detectors are registered. It writes its results to
``HOME/found.json``.
"""

import asyncio
import json
import sys
from pathlib import Path

import httpx

import detectors
from stream.replay.versions import Versions
from stream.settings import cached_tenant_settings, tenant_settings
from stream.stages.alert.partition_alerts import PartitionAlerts
from stream.stages.score.machine import item_of, verdicts
from stream.stages.score.model_process import ModelProcess, ModelSpec
from stream.stages.score.records import finding_event
from stream.stages.watch_app import stream_detectors
from support.score_stack import request
from support.signal_log import score_tick, signal_event
from support.watch_chain import Chain
from weir.console.app import console_app
from weir.console.sessions import Sessions, ensure_token
from weir.settings import load_settings
from weir.settings.detector_options import check_detector_options

PORT = 18_081
START = 1_000.0


def text_alert(settings):
    """Return the alert record of one shouted prompt."""
    process = ModelProcess(ModelSpec(detectors=("shouting",), threads=1, embedder=None))
    process.load()
    event = request("r1", "WHY IS THIS STILL BROKEN TODAY", owed=("shouting",))
    (verdict,) = verdicts(event, process.score([item_of(event.data)])[0], lambda _: "unknown")
    finding = finding_event(event, verdict, "")
    (alert,) = PartitionAlerts(cached_tenant_settings(settings.tenants)).apply(finding)
    return alert.data


def stream_alert(settings):
    """Return the `error_rate` alert record about answers that begin to fail."""
    log = []
    for number in range(400):
        failed = number % 20 == 0 or number > 200
        at = START + number
        log.append(signal_event(f"r{number}", at, side="output", features={"error": float(failed)}))
        log += [score_tick(partition, {"s": at}) for partition in range(2)]
    chain = Chain(settings.tenants, stream_detectors).run(log)
    return next(event.data for event in chain.alerts if event.data.detector == "error_rate")


async def capabilities(settings):
    """Return the console's list of detectors."""
    settings.home.mkdir()
    secret = ensure_token(settings.home)
    app = console_app(settings, Sessions(secret, clock=lambda: 0.0), PORT)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url=f"http://127.0.0.1:{PORT}") as client:
        answer = await client.get("/api/stack", headers={"authorization": f"Bearer {secret}"})
    return answer.json()["capabilities"]


def main(home):
    loaded = load_settings()
    check_detector_options(loaded)
    settings = loaded.settings
    versions = Versions(settings.detectors)
    alerts = [text_alert(settings), stream_alert(settings)]
    found = {
        "detectors": str(Path(detectors.__file__).parent),
        "alerts": {one.detector: {"summary": one.summary, "runbook": one.runbook} for one in alerts},
        "reference_events": stream_detectors(tenant_settings(settings.tenants, "acme"))[
            "error_rate"
        ].config.reference_events,
        "console": asyncio.run(capabilities(settings)),
        "replay": {name: versions.resolve(name).version for name in ("shouting", "error_rate")},
    }
    Path(home, "found.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1])
