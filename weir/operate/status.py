"""Status of a stack: components, capture counts, consumer lag and coverage, and the problems found in them."""

import asyncio
import contextlib
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec

from serving.capture.balance import Balance, read_balance
from serving.capture.shipper import read_shipper_status
from stream.count_text import count_text
from stream.errors import BrokerError, LedgerError, kafka_problem
from stream.kafka.clients import BROKER_ERRORS
from stream.ledger.alerts.full_spool import ALERT_SHARE
from stream.ledger.coverage import Count, Coverage
from stream.ledger.decisions import Heartbeat
from stream.ledger.lag import consumer_lag, groups_of, worst_lag
from stream.ledger.queries.ledger_reader import LedgerReader
from stream.runbook import runbook_line
from stream.score_text import percent_text
from stream.settings import KafkaSettings
from stream.silences import Silences
from stream.wire import AlertRecord, format_time
from weir.client import effective_kafka
from weir.errors import StackError
from weir.home.disk_space import FULL_BYTES, MIB, free_bytes
from weir.home.ports import not_started
from weir.local.health.health_probe import probe
from weir.local.plan import load_plan, plan_path
from weir.local.stack_state import ComponentState, load_components, supervisor_runs
from weir.settings import Settings, changes_since_start

#: If the ledger has sent no heartbeat for this time, it does not run or is stuck.
HEARTBEAT_SECONDS = 15.0
_STOPPED = "no component runs; start the stack with `weir up`. Lag and coverage are from the ledger's last heartbeat"
_PROBE_SECONDS = 2.0
_LAG_SECONDS = 5.0


class ComponentStatus(msgspec.Struct, frozen=True, kw_only=True):
    """Status of one process; `detail` is its problem, or the reason why a healthy process waits."""

    name: str
    healthy: bool
    address: str
    pid: int
    log: str
    detail: str
    restarts: int = 0
    uptime_seconds: float = 0.0


class CaptureStatus(Balance, frozen=True, kw_only=True):
    """Numbers of accepted, delivered, spooled and shed (dropped) records, and the size limit of each spool."""

    limit_bytes: int = 0


class PairCount(msgspec.Struct, frozen=True, kw_only=True):
    """Counts of verdicts; each event has one verdict per expected detector. `owed` are expected, `settled` completed."""

    ratio: float
    owed: int
    settled: int
    missing: int
    errors: int
    pending: int


class CoverageStatus(PairCount, frozen=True, kw_only=True):
    """Coverage from the ledger; `ratio` is completed divided by expected verdicts, or 1 if none is expected."""

    requests: int
    by_detector: dict[str, PairCount] = {}
    by_tenant: dict[str, PairCount] = {}
    by_model: dict[str, PairCount] = {}
    ends: int = 0
    gap_records: int = 0
    skipped: dict[str, int] = {}
    oldest_pending_seconds: float | None = None


class ServedModelStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A served model as the settings name it; `base_url` is that of another server, or "" for a replica."""

    name: str
    engine: str
    base_url: str


_Ledger = tuple[Coverage, Heartbeat | None, list[AlertRecord], Silences]


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """Status of a stack; it is healthy if it has no `problems`. `local`: `weir up` started it, also if it is stopped now.

    `note` states which settings have changed since `weir up`, or is "".
    """

    healthy: bool
    components: list[ComponentStatus]
    capture: CaptureStatus
    lag: dict[str, int]
    coverage: CoverageStatus
    problems: list[str]
    lag_by_consumer: dict[str, dict[str, int]] = {}
    home: str = ""
    models: list[ServedModelStatus] = []
    local: bool = False
    note: str = ""


async def gather_status(settings: Settings) -> Status:
    """Query all parts concurrently; a part that does not answer is a problem. Raises StackError if no stack was started.

    If `weir up` did not start the stack, as in containers, another program checks the health of the components.
    """
    home = settings.home
    states, reader = load_components(home), LedgerReader(home / "ledger")
    if not states and not reader.exists() and not (home / "ports.json").exists():
        raise not_started(home)
    local = plan_path(home).exists()
    stopped = local and not states and not supervisor_runs(home)
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(len(states) + 2, thread_name_prefix="status") as pool:
        probes = [loop.run_in_executor(pool, _component, state, home) for state in states]
        limit_bytes = settings.capture.limit_bytes
        balance = loop.run_in_executor(pool, read_balance, home / "spool", limit_bytes)
        ledger = loop.run_in_executor(pool, _ledger, reader)
        lags, lag_problem = await _lags(settings, stopped=stopped)
        found = list(await asyncio.gather(*probes))
        capture = CaptureStatus(**msgspec.structs.asdict(await balance), limit_bytes=limit_bytes)
        (coverage, heartbeat, alerts, silences), damage = await ledger
    if heartbeat is not None:
        lags["ledger"] = heartbeat.lag
    problems = [
        *_disk_problems(home),
        *([_STOPPED] if stopped else []),
        *_component_problems(found, starts=local and not stopped),
        *lag_problem,
        *_spool_problems(capture, alerts),
        *damage,
        *([] if stopped else _heartbeat_problems(heartbeat)),
        *_ledger_problems(coverage, alerts, silences),
    ]
    return Status(
        healthy=not problems,
        components=found,
        capture=capture,
        lag=_in_topic_order(worst_lag(lags), settings),
        coverage=coverage_status(coverage, heartbeat),
        problems=problems,
        lag_by_consumer=lags,
        home=str(home),
        models=[
            ServedModelStatus(name=name, engine=model.engine, base_url=model.base_url)
            for name, model in settings.served_models().items()
        ],
        local=local,
        note=_changed_settings(settings) if local and not stopped else "",
    )


def _changed_settings(settings: Settings) -> str:
    with contextlib.suppress(StackError):  # a damaged plan
        return changes_since_start(load_plan(settings.home).settings, settings)
    return ""


def _in_topic_order(lag: dict[str, int], settings: Settings) -> dict[str, int]:
    order = {topic.name: number for number, topic in enumerate(settings.kafka.topics())}
    return dict(sorted(lag.items(), key=lambda item: order.get(item[0], len(order))))


def _component(state: ComponentState, home: Path) -> ComponentStatus:
    if state.running:
        health = probe(state.health_url, _PROBE_SECONDS)
        healthy, detail = health.ok, health.detail or _waits_for(state, home)
    else:
        healthy, detail = False, "does not run" if state.started_at else "not started yet"
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
    """Return why a shipper waits for Kafka, or "". A waiting shipper is healthy."""
    status = read_shipper_status(home / "spool") if state.name == "shipper" else None
    if status is None or status.pid != state.pid or not status.reason:
        return ""
    return f"Kafka accepts no records: {status.reason}"


def _disk_problems(home: Path) -> list[str]:
    """Report a full disk, because the components that write to it exit, and their logs end before the error."""
    free = free_bytes(home)
    if free >= FULL_BYTES:
        return []
    bound = f"the bound is {FULL_BYTES / MIB:.0f} MiB"
    return [
        f"disk: {free / MIB:.0f} MiB are free on the disk of {home}, {bound}; free space, then the components restart"
    ]


def _spool_problems(capture: CaptureStatus, alerts: list[AlertRecord]) -> list[str]:
    """Report a spool that is almost full and has no alert, which cannot be published while Kafka is unreachable."""
    if not capture.limit_bytes or capture.fullest_bytes < ALERT_SHARE * capture.limit_bytes:
        return []
    if any((alert.detector, alert.feature) == ("spool", capture.fullest) for alert in alerts):
        return []
    share = capture.fullest_bytes / capture.limit_bytes
    problem = (
        f"spool: the spool of {capture.fullest} uses {percent_text(share)} of capture.limit_bytes ({capture.limit_bytes}), the bound is "
        f"{percent_text(ALERT_SHARE)}. {runbook_line('spool')}"
    )
    return [problem]


def _ledger(reader: LedgerReader) -> tuple[_Ledger, list[str]]:
    try:
        return (reader.coverage(), reader.heartbeat(), reader.own_alerts(), reader.silences()), []
    except LedgerError as error:
        return (Coverage(), None, [], Silences()), [str(error)]


async def _lags(settings: Settings, *, stopped: bool) -> tuple[dict[str, dict[str, int]], list[str]]:
    if stopped and not settings.kafka.bootstrap_servers:
        return {}, []  # the broker of the stack is stopped too
    try:
        kafka: KafkaSettings = effective_kafka(settings)
        return await consumer_lag(kafka.client_options(), groups_of(kafka.names), _LAG_SECONDS), []
    except StackError:
        return {}, []  # no broker runs or is configured; the components show why
    except BrokerError as error:  # the settings of TLS or SASL
        problem = str(error)
    except BROKER_ERRORS as error:
        problem = kafka_problem(kafka.bootstrap_servers, error)
    return {}, [f"{problem}; the present lag is unknown, and a number below is from the ledger's last heartbeat"]


def _component_problems(found: list[ComponentStatus], *, starts: bool) -> list[str]:
    if not found and starts:
        return ["the stack starts, and no health check has ended; run the command again"]
    return [f"{one.name}: {one.detail or 'not healthy'}; log {one.log}" for one in found if not one.healthy]


def _ledger_problems(coverage: Coverage, alerts: list[AlertRecord], silences: Silences) -> list[str]:
    now, problems = time.time(), []
    silenced = {alert.alert_id: _silenced(alert, silences, now) for alert in alerts}
    if coverage.total.missing:
        note = "".join(silenced[alert.alert_id] for alert in alerts if alert.detector == "coverage")
        problems.append(
            f"{count_text(coverage.total.missing, 'verdict is', 'verdicts are')} missing; see the coverage alert and the log of score{note}"
        )
    for alert in alerts:
        if alert.detector != "coverage":
            remedy = f". {alert.runbook}" if alert.runbook else ""
            problems.append(f"{alert.detector}: {alert.summary}{silenced[alert.alert_id]}{remedy}")
    return problems


def _heartbeat_problems(heartbeat: Heartbeat | None) -> list[str]:
    if heartbeat is None:
        return ["coverage is unknown: the ledger has no heartbeat yet"]
    now, bound = time.time(), heartbeat.silence_seconds
    if (age := now - heartbeat.wall_time) > HEARTBEAT_SECONDS:
        return [f"no heartbeat of the ledger for {age:.0f} s; coverage and lag are that old"]
    if heartbeat.ahead:
        ahead = heartbeat.log_time - heartbeat.wall_time
        problem = (
            f"event time is {ahead:.0f} s ahead of the clock, the bound is {bound:.0f} s: the clock of a source is wrong; correct it "
            f"and restart the source. If it is the only source, no window of drift and anomaly closes for {ahead:.0f} s after the restart"
        )
        return [problem]
    if heartbeat.inactive:
        inactive = heartbeat.wall_time - heartbeat.advanced_at
        problem = (
            f"every source is inactive: no heartbeat for {inactive:.0f} s, the bound is {bound:.0f} s; "
            "if Kafka answers, see the logs of serve and shipper"
        )
        return [problem]
    return []


def _silenced(alert: AlertRecord, silences: Silences, now: float) -> str:
    """Return who silenced `alert`, until when and why, or ""; a silenced alert is still a problem."""
    return "".join(
        f" (silenced until {format_time(found.until)} by {found.by}: {found.reason})"
        for found in silences.muting(alert, now)
    )


def coverage_status(coverage: Coverage, heartbeat: Heartbeat | None) -> CoverageStatus:
    """Return coverage with the fields of ``weir status --json``."""
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
    return PairCount(**{name: getattr(count, name) for name in PairCount.__struct_fields__})
