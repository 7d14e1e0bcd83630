"""Format the diff of a replay: counts first, then each alert that differs."""

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from stream.count_text import count_text
from stream.replay.report import Report
from stream.replay.timeline import ReplayedAlert
from weir.cli.render.output import table
from weir.client.times import format_time

_SHOWN = 50
_STYLES = {"appeared": "yellow", "vanished": "cyan", "moved": "magenta"}


def replay_view(report: Report) -> RenderableType:
    """Format a report: both detector versions, counts by tenant and detector, the alerts that differ, and notes."""
    parts: list[RenderableType] = [*_head(report), ""]
    if report.diff.by:
        parts += [_sums(report), ""]
    if report.diff.empty:
        parts.append(
            Text(f"no difference: both have the same {count_text(report.diff.unchanged, 'alert')}", style="green")
        )
    else:
        parts += _differences(report)
    parts += [Text(f"• {note}", style="yellow") for note in report.notes]
    if report.topic:
        parts.append(
            Text(
                f"findings and alerts are on topic {report.topic} with source weir/replay/{report.replay_id}",
                style="dim",
            )
        )
    return Group(*parts)


def _head(report: Report) -> Iterator[Text]:
    run, events = report.run, report.events
    yield Text.assemble(
        (report.detector.name, "bold"),
        _version(report.detector.version),
        " against ",
        (report.against.name, "bold"),
        _version(report.against.version),
        f", {format_time(report.since)} to {format_time(report.until)}",
    )
    ratio = "" if run.ratio is None else f", {run.ratio:.1f} times their arrival rate"
    yield Text(
        f"{count_text(events.read, 'event')} read, {events.compared} compared; {run.events_per_second:.0f} events/s{ratio}",
        style="dim",
    )


def _version(version: str) -> str:
    return f" ({version})" if version else ""


def _sums(report: Report) -> Table:
    sums = table("tenant", "detector", "appeared", "vanished", "moved", "unchanged")
    for one in report.diff.by:
        sums.add_row(one.tenant, one.detector, *map(str, (one.appeared, one.vanished, one.moved, one.unchanged)))
    return sums


def _differences(report: Report) -> list[RenderableType]:
    lines = [_line(kind, alert) for kind in ("vanished", "appeared") for alert in getattr(report.diff, kind)]
    for one in report.diff.moved:
        line = _line("moved", one.after)
        line.append(f"  {', '.join(one.changes)}: was {format_time(one.before.opened_at)}, {one.before.severity}")
        lines.append(line)
    shown: list[RenderableType] = list(lines[:_SHOWN])
    if len(lines) > _SHOWN:
        shown.append(Text(f"and {len(lines) - _SHOWN} more; --json has all", style="dim"))
    return [*shown, ""]


def _line(kind: str, alert: ReplayedAlert) -> Text:
    stream = "/".join(part for part in (alert.tenant, alert.model, alert.side, alert.part) if part)
    line = Text.assemble(
        (f"{kind:8}", _STYLES[kind]),
        "  ",
        (format_time(alert.opened_at), "dim"),
        f"  {alert.severity:8}  ",
        (f"{alert.detector:9}", "bold"),
        f"  {stream}",
    )
    if alert.feature:
        line.append(f"  {alert.feature}")
    if alert.evidence:
        line.append(f"  ({count_text(alert.evidence_total, 'request')}, first {alert.evidence[0]})", style="dim")
    return line
