"""A bridge in this process, with a resend interval that is short enough for a test."""

import asyncio
import contextlib

from prometheus_client import CollectorRegistry

from stream.bridge.service import run_bridge
from stream.settings import BridgeSettings
from support.kafka_log import until

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class Bridge:
    def __init__(self):
        self.registry = CollectorRegistry()
        self.health = {}

    @property
    def started(self):
        """The webhooks whose alerts are read."""
        samples = [one for metric in self.registry.collect() for one in metric.samples]
        return {one.labels["target"] for one in samples if one.name == "weir_bridge_webhook_reading" and one.value}

    def value(self, name, **labels):
        return self.registry.get_sample_value(name, labels) or 0.0


@contextlib.asynccontextmanager
async def bridge(kafka, resend_seconds=0.5, **settings):
    """Run a bridge; the block starts when the bridge has read the log."""
    made, stop = Bridge(), asyncio.Event()
    given = BridgeSettings(**settings).model_copy(update={"resend_seconds": resend_seconds})
    running = asyncio.create_task(
        run_bridge(kafka=kafka, bridge=given, registry=made.registry, stop=stop, health=made.health)
    )
    try:
        await until("the log is read", lambda: running.done() or made.value("weir_bridge_caught_up"))
        yield made
    finally:
        stop.set()
        await asyncio.wait_for(running, 60)
