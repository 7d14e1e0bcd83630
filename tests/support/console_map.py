"""Requests whose subject changes, on a real broker: prompts, signals, and the findings and alerts of the real stages."""

import time
import tomllib
from pathlib import Path

from stream.stages.watch_app import stream_detectors
from stream.wire import Signal, Tick, partition_for, stream_key, tenant_model_key
from support.demo_log import TENANT, demo_log
from support.kafka_log import sender
from support.ledger_log import request
from support.signal_log import MODEL
from support.watch_chain import Chain
from weir.demo.prompts import ORDINARY

TENANTS = tomllib.loads((Path(__file__).parents[2] / "weir.toml").read_text())["tenants"]
INPUT = {"tenant": TENANT, "model": MODEL, "side": "input"}
NEW = ("Why does my SQL query lock the table?", "Which SQL index speeds up a query of a table?")


def prompt_of(number, ordinary):
    return f"{(ORDINARY if number < ordinary else NEW)[number % (len(ORDINARY) if number < ordinary else 2)]} {number}"


async def send_shift(kafka, *, ordinary=222, new=110, seconds=600.0):
    """Send ordinary requests, then requests of a new subject; return the drift alerts about prompts."""
    log = demo_log(0, seconds=seconds, ordinary=ordinary, odd=0, new=new, start=time.time() - seconds - 60)
    chain = Chain(TENANTS, stream_detectors).run(log)
    signals = [event for event in log if isinstance(event.data, Signal)]
    asked = [event.data for event in signals if event.data.side == "input"]
    names, count = kafka.names, kafka.stream_partitions
    async with sender(kafka) as to:
        where = {"owed": (), "tenant": TENANT, "model": MODEL}
        requests = [
            request(signal.request_id, signal.time, text=prompt_of(number, ordinary), **where)
            for number, signal in enumerate(asked)
        ]
        await to.spread(names.inference, requests, lambda event: partition_for(event.data.request_id, kafka.partitions))
        for side in ("input", "output"):
            place = partition_for(stream_key(TENANT, MODEL, side), count)
            await to.send(names.signals, *(event for event in signals if event.data.side == side), partition=place)
        findings = [event for event in chain.findings if not isinstance(event.data, Tick)]
        await to.send(names.findings, *findings)
        place = partition_for(tenant_model_key(TENANT, MODEL), count)
        await to.send(names.alerts, *chain.alerts, partition=place)
    return [event.data for event in chain.alerts if event.data.detector == "drift" and event.data.side == "input"]
