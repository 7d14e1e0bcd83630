"""A ledger in this process, for tests of its readers."""

import asyncio
import contextlib

from opentelemetry.sdk.trace import TracerProvider
from prometheus_client import CollectorRegistry

from stream.ledger.queries.ledger_reader import LedgerReader
from stream.ledger.service import run_ledger
from stream.settings import LedgerSettings, TenantSettings


@contextlib.asynccontextmanager
async def running_ledger(home, kafka, health=None, tenants=lambda _tenant: TenantSettings(), **settings):
    """Run the ledger of `home` with the settings that `tenants` returns; yield its reader."""
    stop, directory = asyncio.Event(), home / "ledger"
    telemetry = {"registry": CollectorRegistry(), "tracer_provider": TracerProvider()}
    told = {"stop": stop, "health": {} if health is None else health, "tenants": tenants}
    work = run_ledger(directory=directory, kafka=kafka, ledger=LedgerSettings(**settings), **telemetry, **told)
    task = asyncio.create_task(work)
    try:
        yield LedgerReader(directory)
    finally:
        stop.set()
        await asyncio.wait_for(task, 30)
