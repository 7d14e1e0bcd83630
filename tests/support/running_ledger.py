"""A ledger in this process, for tests of what reads it."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

from opentelemetry.sdk.trace import TracerProvider
from prometheus_client import CollectorRegistry

from stream.ledger.queries.ledger_reader import LedgerReader
from stream.ledger.service import run_ledger
from stream.settings import KafkaSettings, LedgerSettings


@contextlib.asynccontextmanager
async def running_ledger(
    home: Path, kafka: KafkaSettings, health: dict[str, Any] | None = None
) -> AsyncIterator[LedgerReader]:
    """Run the ledger of `home`; yield its reader."""
    stop, registry = asyncio.Event(), CollectorRegistry()
    work = run_ledger(
        directory=home / "ledger",
        kafka=kafka,
        ledger=LedgerSettings(),
        registry=registry,
        tracer_provider=TracerProvider(),
        stop=stop,
        health={} if health is None else health,
    )
    task = asyncio.create_task(work)
    try:
        yield LedgerReader(home / "ledger")
    finally:
        stop.set()
        await asyncio.wait_for(task, 30)
