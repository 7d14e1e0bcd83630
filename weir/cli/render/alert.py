"""One alert as a line of text."""

from rich.text import Text

from stream.count_text import count_text
from weir.client import Alert
from weir.client.times import format_time

SEVERITY_STYLE = {"info": "cyan", "warning": "yellow", "critical": "bold red"}
#: Indent of the runbook line: the width of a formatted time and two spaces.
_INDENT = " " * 21


def alert_line(alert: Alert) -> Text:
    """Return time, state, severity, tenant, model, summary and id; a firing alert has a second line with its runbook."""
    firing = alert.state == "firing"
    style = SEVERITY_STYLE.get(alert.severity, "") if firing else "green"
    stream = "/".join(part for part in (alert.tenant, alert.model, alert.model_version, alert.side, alert.part) if part)
    line = Text.assemble(
        (f"{format_time(alert.at)}  ", "dim"),
        (f"{alert.state:8}  {alert.severity:8}  ", style),
        (f"{alert.detector:9}  ", "bold"),
        f"{stream}  {alert.summary}",
    )
    if alert.silenced:
        line.append("  silenced", style="dim")
    evidence = f", {count_text(alert.evidence_total, 'request')}, last {alert.evidence[-1]}" if alert.evidence else ""
    line.append(f"  ({alert.alert_id}{evidence})", style="dim")
    if firing and alert.runbook:
        line.append(f"\n{_INDENT}do: {alert.runbook}", style="cyan")
    return line
