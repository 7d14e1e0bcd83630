"""What a person reads at three in the morning: what is wrong first, then where to look."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from weir.client import Alert, Retraining
from weir.operate.status import ComponentStatus, CoverageStatus, PairCount, Status

__all__ = ["alert_line", "clock", "duration", "retraining_line", "screen", "status_view"]

_SEVERITY_STYLE = {"info": "cyan", "warning": "yellow", "critical": "bold red"}
_STATE_STYLE = {"requested": "bold magenta", "promoted": "green", "rolled_back": "red"}
_PIPED_WIDTH = 240
#: Rows of a table of coverage: the worst.
_SHOWN = 8
_STEPS = ((86_400.0, "d"), (3_600.0, "h"), (60.0, "min"))


def screen() -> Console:
    """Return a console on standard output; a pipe gets long lines, so that nothing is folded."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = _PIPED_WIDTH
    return console


def clock(seconds: float) -> str:
    """Return a moment in local time, to the second."""
    return datetime.fromtimestamp(seconds, UTC).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def duration(seconds: float) -> str:
    """Return a duration in its largest unit: ``12 s``, ``3 min``, ``5 h``, ``2 d``."""
    for size, unit in _STEPS:
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


def alert_line(alert: Alert) -> Text:
    """Return one line: when, what state, how bad, which stream, what it says, its id; below it, while it fires, what to do."""
    firing = alert.state == "firing"
    when = alert.opened_at if firing or alert.resolved_at is None else alert.resolved_at
    style = _SEVERITY_STYLE.get(alert.severity, "") if firing else "green"
    stream = "/".join(part for part in (alert.tenant, alert.model, alert.side) if part)
    line = Text.assemble(
        (clock(when), "dim"),
        "  ",
        (f"{alert.state:8}", style),
        "  ",
        (f"{alert.severity:8}", style),
        "  ",
        (f"{alert.detector:9}", "bold"),
        "  ",
        stream,
        "  ",
        alert.summary,
    )
    if alert.silenced:
        line.append("  silenced", style="dim")
    behind = f", {alert.evidence_total} requests, last {alert.evidence[-1]}" if alert.evidence else ""
    line.append(f"  ({alert.alert_id}{behind})", style="dim")
    if firing and alert.runbook:
        line.append(f"\n{'':21}do: {alert.runbook}", style="cyan")
    return line


def retraining_line(event: Retraining) -> Text:
    """Return one line: when, what was decided, for whom, why."""
    return Text.assemble(
        (clock(event.at), "dim"),
        "  ",
        (f"{event.state:11}", _STATE_STYLE.get(event.state, "bold")),
        "  ",
        f"{event.tenant}/{event.model}",
        "  ",
        event.reason,
        (f"  ({event.retraining_id}, {len(event.alert_ids)} alerts)", "dim"),
    )


def status_view(status: Status) -> RenderableType:
    """Return the whole status: the verdict and its reasons first."""
    head = Text("healthy", style="bold green") if status.healthy else Text("NOT HEALTHY", style="bold red")
    head.append(f"  {status.home}", style="dim")
    parts: list[RenderableType] = [head]
    parts += [Text(f"  • {problem}", style="red") for problem in status.problems]
    parts += [
        "",
        _components(status.components),
        *(
            Text(f"  {one.name}: {one.detail}", style="yellow")
            for one in status.components
            if one.healthy and one.detail
        ),
        "",
        *_capture(status),
        _lag(status.lag),
        "",
        *_coverage(status.coverage),
    ]
    return Group(*parts)


def _components(found: Iterable[ComponentStatus]) -> Table:
    table = _table("component", "", "up", "pid", "restarts", "address", "log")
    for one in found:
        mark = Text("ok", style="green") if one.healthy else Text("FAIL", style="bold red")
        up = duration(one.uptime_seconds) if one.uptime_seconds else "-"
        restarts = Text(str(one.restarts), style="yellow" if one.restarts else "")
        table.add_row(one.name, mark, up, str(one.pid or "-"), restarts, escape(one.address), escape(one.log))
    return table


def _capture(status: Status) -> list[RenderableType]:
    capture = status.capture
    line = Text.assemble(
        ("capture   ", "bold"),
        f"accepted {capture.accepted} = delivered {capture.delivered} + spooled {capture.spooled} + shed {capture.shed}",
    )
    if capture.spooled:
        line.append(f"; the oldest waits for {duration(capture.oldest_age_seconds)}", style="yellow")
    if capture.fullest_bytes and capture.limit_bytes:
        line.append(f"; fullest spool {capture.fullest_bytes / capture.limit_bytes:.0%}", style="dim")
    if capture.shed:
        line.append("; what was shed is counted in gap records", style="yellow")
    return [line]


def _lag(lag: Mapping[str, int]) -> Text:
    words = ", ".join(f"{topic} {records}" for topic, records in lag.items()) or "unknown"
    return Text.assemble(("lag       ", "bold"), words, (" (records still to be read)", "dim"))


def _coverage(coverage: CoverageStatus) -> list[RenderableType]:
    style = "bold red" if coverage.missing else "yellow" if coverage.pending else "green"
    line = Text.assemble(
        ("coverage  ", "bold"),
        (f"{coverage.ratio:.4f}", style),
        f"  {coverage.requests} requests, {coverage.settled} of {coverage.owed} owed verdicts settled",
    )
    if coverage.oldest_pending_seconds is not None:
        line.append(f"; {coverage.pending} pending, the oldest for {duration(coverage.oldest_pending_seconds)}")
    if coverage.gap_records:
        line.append(f"; {coverage.gap_records} records in gaps", style="yellow")
    if skipped := sum(coverage.skipped.values()):
        line.append(
            f"; {skipped} records could not be read or stored (see the dead letters and the ledger's log)",
            style="yellow",
        )
    splits = (("detector", coverage.by_detector), ("tenant", coverage.by_tenant), ("model", coverage.by_model))
    return [line, *(_pairs(what, counts) for what, counts in splits if counts)]


def _pairs(what: str, counts: Mapping[str, PairCount]) -> Table:
    """Return a table of the worst: most missing first, then most errors, then most pending."""
    table = _table(what, "coverage", "owed", "settled", "pending", "missing", "errors")
    worst = sorted(counts.items(), key=lambda item: (-item[1].missing, -item[1].errors, -item[1].pending, item[0]))
    for name, count in worst[:_SHOWN]:
        bad = [Text(str(value), style="red" if value else "") for value in (count.missing, count.errors)]
        table.add_row(escape(name), f"{count.ratio:.4f}", str(count.owed), str(count.settled), str(count.pending), *bad)
    if len(worst) > _SHOWN:
        table.add_row(Text(f"and {len(worst) - _SHOWN} more (--json has all)", style="dim"))
    return table


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
