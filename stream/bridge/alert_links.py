"""The links of a notification: runbook and trace."""

import msgspec

from stream.runbook import runbook_anchor
from stream.wire import AlertRecord


class AlertLinks(msgspec.Struct, frozen=True, kw_only=True):
    """The settings for links. `runbook` is the address of the runbook, "" for no link.

    `trace` is the address of a trace, with the placeholder ``{trace_id}``, or "" for no link.
    """

    runbook: str = ""
    trace: str = ""

    def runbook_of(self, alert: AlertRecord) -> str:
        """Return the address of the runbook section for an alert."""
        anchor = runbook_anchor(alert.detector, alert.feature) if alert.runbook else ""
        return f"{self.runbook}#{anchor}" if self.runbook and anchor else self.runbook

    def trace_of(self, alert: AlertRecord) -> str:
        """Return the address of an alert's trace."""
        return self.trace.replace("{trace_id}", alert.trace_id) if alert.trace_id else ""
