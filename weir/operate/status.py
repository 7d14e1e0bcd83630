"""How a stack is: its components, capture's balance, lag, coverage; gathered at once from where each is written down."""

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from serving.capture.balance import Balance, read_balance
from serving.capture.shipper import read_shipper_status
from stream.kafka.clients import BROKER_ERRORS
from stream.ledger.coverage import Count, Coverage
from stream.ledger.decisions import Heartbeat
from stream.ledger.lag import consumer_lag, groups_of, worst_lag
from stream.ledger.queries.ledger_reader import LedgerReader
from stream.ledger.sources import ALERT_SHARE
from stream.runbook import runbook_line
from stream.settings import KafkaSettings
from stream.silences import Silences
from stream.wire import AlertRecord, format_time
from weir.client import effective_kafka
from weir.errors import StackError
from weir.local.health.health_probe import probe
from weir.local.stack_state import ComponentState, load_components
from weir.settings import Settings

__all__ = [
    "CaptureStatus",
    "ComponentStatus",
    "CoverageStatus",
    "PairCount",
    "Status",
    "coverage_status",
    "gather_status",
]

#: A ledger that said nothing for so long does not run, or stands still.
_HEARTBEAT_SECONDS = 15.0
_PROBE_SECONDS = 2.0
_LAG_SECONDS = 5.0


class ComponentStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One process of the stack; `detail` says in one line what is wrong with it, or, where it is healthy, what it waits for."""

    name: str
    healthy: bool
    address: str
    pid: int
    log: str
    detail: str
    restarts: int = 0
    uptime_seconds: float = 0.0


class CaptureStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Capture's balance: ``accepted = delivered + spooled + shed``; `fullest` is the source with the largest spool."""

    accepted: int = 0
    delivered: int = 0
    spooled: int = 0
    shed: int = 0
    oldest_age_seconds: float = 0.0
    bytes: int = 0
    fullest: str = ""
    fullest_bytes: int = 0
    limit_bytes: int = 0


class PairCount(msgspec.Struct, frozen=True, kw_only=True):
    """Pairs of an event and a detector that it is owed."""

    ratio: float
    owed: int
    settled: int
    missing: int
    errors: int
    pending: int


class CoverageStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Coverage as the ledger has it; `ratio` is settled of owed, 1 where nothing was owed."""

    ratio: float
    requests: int
    owed: int
    settled: int
    missing: int
    errors: int
    pending: int
    by_detector: dict[str, PairCount] = {}
    by_tenant: dict[str, PairCount] = {}
    by_model: dict[str, PairCount] = {}
    ends: int = 0
    gap_records: int = 0
    skipped: dict[str, int] = {}
    oldest_pending_seconds: float | None = None


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """All of it; healthy where there are no `problems`."""

    healthy: bool
    components: list[ComponentStatus]
    capture: CaptureStatus
    lag: dict[str, int]
    coverage: CoverageStatus
    problems: list[str]
    lag_by_consumer: dict[str, dict[str, int]] = {}
    home: str = ""


async def gather_status(settings: Settings) -> Status:
    """Ask everything at the same time; what does not answer within a few seconds becomes a problem, never an exception.

    Raises
    ------
    StackError
        No stack has run in this home.
    """
    home = settings.home
    states = load_components(home)
    if not states and not (home / "ports.json").exists():
        raise StackError(f"no stack has run in {home}; start it with `weir up`, or set WEIR_HOME to a stack's home")
    reader = LedgerReader(home / "ledger")
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(len(states) + 2, thread_name_prefix="status") as pool:
        probes = [loop.run_in_executor(pool, _component, state, home) for state in states]
        balance = loop.run_in_executor(pool, read_balance, home / "spool")
        ledger = loop.run_in_executor(pool, _ledger, reader)
        lags, lag_problem = await _lags(settings)
        found = list(await asyncio.gather(*probes))
        capture = _capture(await balance, settings.capture.limit_bytes)
        coverage, heartbeat, alerts, silences = await ledger
    if heartbeat is not None:
        lags["ledger"] = heartbeat.lag
    problems = [
        *_component_problems(found),
        *lag_problem,
        *_spool_problems(capture),
        *_ledger_problems(heartbeat, coverage, alerts, silences),
    ]
    return Status(
        healthy=not problems,
        components=found,
        capture=capture,
        lag=_in_order_of_flow(worst_lag(lags), settings),
        coverage=coverage_status(coverage, heartbeat),
        problems=problems,
        lag_by_consumer=lags,
        home=str(home),
    )


def _in_order_of_flow(lag: dict[str, int], settings: Settings) -> dict[str, int]:
    places = {topic.name: place for place, topic in enumerate(settings.kafka.topics())}
    return dict(sorted(lag.items(), key=lambda item: places.get(item[0], len(places))))


def _component(state: ComponentState, home: Path) -> ComponentStatus:
    if state.running:
        health = probe(state.health_url, _PROBE_SECONDS)
        healthy, detail = health.ok, health.detail or _waits_for(state, home)
    else:
        healthy, detail = False, "does not run" if state.pid else "not started yet"
    return ComponentStatus(
        name=state.name,
        healthy=healthy,
        address=state.address,
        pid=state.pid,
        log=state.log,
        detail=detail,
        restarts=state.restarts,
        uptime_seconds=round(max(time.time() - state.started_at, 0.0), 1) if state.running else 0.0,
    )


def _waits_for(state: ComponentState, home: Path) -> str:
    """Return what a shipper has against Kafka: it waits, which is no failure of its own."""
    said = read_shipper_status(home / "spool") if state.name == "shipper" else None
    if said is None or said.pid != state.pid or not said.reason:
        return ""
    return f"Kafka takes no records: {said.reason}"


def _capture(balance: Balance, limit_bytes: int) -> CaptureStatus:
    given = {name: getattr(balance, name) for name in CaptureStatus.__struct_fields__ if name != "limit_bytes"}
    return CaptureStatus(**given, limit_bytes=limit_bytes)


def _spool_problems(capture: CaptureStatus) -> list[str]:
    """Name a spool that fills up: with Kafka away no alert can travel, so this is where it is said."""
    if not capture.limit_bytes or capture.fullest_bytes < ALERT_SHARE * capture.limit_bytes:
        return []
    share = (
        f"{capture.fullest_bytes / capture.limit_bytes:.0%} of its {capture.limit_bytes} bytes (capture.limit_bytes)"
    )
    return [f"spool: that of {capture.fullest} holds {share}, the bound is {ALERT_SHARE:.0%}. {runbook_line('spool')}"]


def _ledger(reader: LedgerReader) -> tuple[Coverage, Heartbeat | None, list[AlertRecord], Silences]:
    return reader.coverage(), reader.heartbeat(), reader.own_alerts(), reader.silences()


async def _lags(settings: Settings) -> tuple[dict[str, dict[str, int]], list[str]]:
    try:
        kafka: KafkaSettings = effective_kafka(settings)
        return await consumer_lag(kafka.client_options(), groups_of(kafka.names), _LAG_SECONDS), []
    except StackError:
        return {}, []  # no broker of its own and none named: the components say the rest
    except BROKER_ERRORS as error:
        return {}, [f"lag is unknown: Kafka at {kafka.bootstrap_servers} does not answer ({type(error).__name__})"]


def _component_problems(found: list[ComponentStatus]) -> list[str]:
    if not found:
        return ["nothing runs here; start it with `weir up`"]
    return [f"{one.name}: {one.detail or 'not healthy'}; log {one.log}" for one in found if not one.healthy]


def _ledger_problems(
    heartbeat: Heartbeat | None, coverage: Coverage, alerts: list[AlertRecord], silences: Silences
) -> list[str]:
    if heartbeat is None:
        return ["the ledger has written nothing yet, so that coverage is unknown"]
    now = time.time()
    problems = []
    if now - heartbeat.wall_time > _HEARTBEAT_SECONDS:
        problems.append(f"the ledger said nothing for {now - heartbeat.wall_time:.0f} s; these figures are that old")
    elif (ahead := heartbeat.log_time - heartbeat.wall_time) > heartbeat.silence_seconds:
        problems.append(
            f"log time is {ahead:.0f} s ahead of the clock, the bound is {heartbeat.silence_seconds:.0f} s: the clock of a source leapt; "
            "set it, and restart that source. If it was the only one, the windows of drift and anomaly go on when the clock is there"
        )
    elif (silent := heartbeat.wall_time - heartbeat.advanced_at) > heartbeat.silence_seconds:
        problems.append(
            f"every source is silent: log time stands still for {silent:.0f} s, the bound is "
            f"{heartbeat.silence_seconds:.0f} s; see the logs of serve and shipper"
        )
    muted = {alert.alert_id: _muted(alert, silences, now) for alert in alerts}
    if coverage.total.missing:
        words = "".join(muted[alert.alert_id] for alert in alerts if alert.detector == "coverage")
        problems.append(
            f"{coverage.total.missing} owed verdicts are missing; see the coverage alert and score's log{words}"
        )
    problems += [
        f"{alert.detector}: {alert.summary}{muted[alert.alert_id]}{_what_to_do(alert)}"
        for alert in alerts
        if alert.detector != "coverage"
    ]
    return problems


def _what_to_do(alert: AlertRecord) -> str:
    return f". {alert.runbook}" if alert.runbook else ""


def _muted(alert: AlertRecord, silences: Silences, now: float) -> str:
    """Say that `alert` is muted now, by whom and why; it is a problem all the same."""
    return "".join(
        f" (silenced until {format_time(found.until)} by {found.by}: {found.reason})"
        for found in silences.muting(alert, now)
    )


def coverage_status(coverage: Coverage, heartbeat: Heartbeat | None) -> CoverageStatus:
    """Return coverage in the shape that is printed."""
    oldest = coverage.oldest_pending_time
    now = heartbeat.log_time if heartbeat is not None else 0.0
    return CoverageStatus(
        requests=coverage.requests,
        **msgspec.structs.asdict(_pairs(coverage.total)),
        by_detector={name: _pairs(count) for name, count in sorted(coverage.by_detector.items())},
        by_tenant={name: _pairs(count) for name, count in sorted(coverage.by_tenant.items())},
        by_model={name: _pairs(count) for name, count in sorted(coverage.by_model.items())},
        ends=coverage.ends,
        gap_records=coverage.gaps,
        skipped=coverage.skipped,
        oldest_pending_seconds=round(max(now - oldest, 0.0), 3) if oldest is not None else None,
    )


def _pairs(count: Count) -> PairCount:
    return PairCount(
        ratio=count.ratio,
        owed=count.owed,
        settled=count.settled,
        missing=count.missing,
        errors=count.errors,
        pending=count.pending,
    )
