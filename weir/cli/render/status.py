"""Format the status of a stack as text: problems first."""

from collections.abc import Iterable, Mapping

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from stream.count_text import count_text
from stream.score_text import percent_text
from weir.cli.render.output import table
from weir.client.times import format_duration
from weir.operate.status import CaptureStatus, ComponentStatus, CoverageStatus, PairCount, ServedModelStatus, Status

#: Maximum number of rows of a coverage table.
_SHOWN = 8
_ELSEWHERE = "no component of this home was started by `weir up`; for containers, see `docker compose ps` or `kubectl -n weir get pods`"


def status_view(status: Status) -> RenderableType:
    """Return the problems, then components, capture, lag and coverage."""
    head = Text("healthy", style="bold green") if status.healthy else Text("NOT HEALTHY", style="bold red")
    head.append(f"  {status.home}", style="dim")
    waiting = [one for one in status.components if one.healthy and one.detail]
    return Group(
        head,
        *(Text(f"  • {problem}", style="red") for problem in status.problems),
        *([Text(f"  {status.note}", style="yellow")] if status.note else []),
        *_components(status),
        *(Text(f"  {one.name}: {one.detail}", style="yellow") for one in waiting),
        "",
        _models(status.models),
        *([_capture(status.capture)] if status.components or status.capture.accepted else []),
        _lag(status.lag),
        "",
        *_coverage(status.coverage),
    )


def _components(status: Status) -> list[RenderableType]:
    if status.components:
        return ["", _component_table(status.components)]
    return [] if status.local else ["", Text(_ELSEWHERE, style="yellow")]


def _component_table(found: Iterable[ComponentStatus]) -> Table:
    rows = table("component", "", "up", "pid", "restarts", "address", "log")
    for one in found:
        mark = Text("ok", style="green") if one.healthy else Text("FAIL", style="bold red")
        up = format_duration(one.uptime_seconds) if one.uptime_seconds else "-"
        restarts = Text(str(one.restarts), style="yellow" if one.restarts else "")
        rows.add_row(one.name, mark, up, str(one.pid or "-"), restarts, one.address, one.log)
    return rows


def _models(models: Iterable[ServedModelStatus]) -> Text:
    served = ", ".join(f"{one.name} ({' '.join(filter(None, (one.engine, one.base_url)))})" for one in models)
    return Text.assemble(("models    ", "bold"), served or "unknown")


def _capture(capture: CaptureStatus) -> Text:
    line = Text.assemble(
        ("capture   ", "bold"),
        f"accepted {capture.accepted} = delivered {capture.delivered} + spooled {capture.spooled} + shed {capture.shed}",
    )
    if capture.spooled:
        line.append(f"; the oldest spooled record is {format_duration(capture.oldest_age_seconds)} old", style="yellow")
    if capture.fullest_bytes and capture.limit_bytes:
        line.append(f"; fullest spool {percent_text(capture.fullest_bytes / capture.limit_bytes)}", style="dim")
    if capture.shed:
        line.append("; shed records are lost, and gap records count them", style="yellow")
    return line


def _lag(lag: Mapping[str, int]) -> Text:
    topics = ", ".join(f"{topic} {records}" for topic, records in lag.items()) or "unknown"
    return Text.assemble(
        ("lag       ", "bold"), topics, (" (records not yet committed; a few seconds of traffic is normal)", "dim")
    )


def _coverage(coverage: CoverageStatus) -> list[RenderableType]:
    style = "bold red" if coverage.missing else "yellow" if coverage.pending else "green"
    line = Text.assemble(
        ("coverage  ", "bold"),
        (f"{coverage.ratio:.4f}", style),
        f"  {count_text(coverage.requests, 'request')}, {coverage.settled} of "
        f"{count_text(coverage.owed, 'expected verdict')} completed",
    )
    if coverage.oldest_pending_seconds is not None:
        age = format_duration(coverage.oldest_pending_seconds)
        line.append(f"; {coverage.pending} pending, the oldest for {age}")
    if coverage.gap_records:
        line.append(f"; {count_text(coverage.gap_records, 'record')} not delivered", style="yellow")
    if skipped := sum(coverage.skipped.values()):
        topics = ", ".join(f"{topic} {records}" for topic, records in sorted(coverage.skipped.items()))
        line.append(
            f"; {count_text(skipped, 'record')} could not be read or stored: {topics} (see `weir dlq list` and the ledger's log)",
            style="yellow",
        )
    splits = (("detector", coverage.by_detector), ("tenant", coverage.by_tenant), ("model", coverage.by_model))
    return [line, *(_pairs(name, counts) for name, counts in splits if counts)]


def _pairs(name: str, counts: Mapping[str, PairCount]) -> Table:
    """Return the coverage table, ordered by missing verdicts, then by errors, then by pending verdicts, highest first."""
    rows = table(name, "coverage", "expected", "completed", "pending", "missing", "errors")
    worst = sorted(counts.items(), key=lambda item: (-item[1].missing, -item[1].errors, -item[1].pending, item[0]))
    for key, count in worst[:_SHOWN]:
        bad = [Text(str(value), style="red" if value else "") for value in (count.missing, count.errors)]
        rows.add_row(key, f"{count.ratio:.4f}", str(count.owed), str(count.settled), str(count.pending), *bad)
    if len(worst) > _SHOWN:
        rows.add_row(Text(f"and {len(worst) - _SHOWN} more (--json has all)", style="dim"))
    return rows
