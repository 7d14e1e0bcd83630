"""What one Alertmanager is to be told now: what fires, with a time at which it ends by itself, and what ended of late.

As Prometheus does it: everything that fires is told again and again, each time for a little longer, and what ended is told for 15
minutes more. So a telling that was lost, an Alertmanager that forgot, and a bridge that died need no memory of what was sent.
"""

import msgspec

from stream.bridge.firing_alerts import Board, Labels, labels_of
from stream.runbook import runbook_anchor
from stream.wire import AlertRecord, SilenceRecord, format_time

__all__ = ["Links", "Notice", "Telling"]

_ENDED_SECONDS = 900.0
#: A firing alert lasts so many tellings without another one.
_LIFE = 4


class Links(msgspec.Struct, frozen=True, kw_only=True):
    """Where an alert leads: the runbook's page, and the address of a trace with ``{trace_id}`` in it, each "" for none."""

    runbook: str = ""
    trace: str = ""

    def runbook_of(self, alert: AlertRecord) -> str:
        """Return the address of the section that says what to do."""
        anchor = runbook_anchor(alert.detector, alert.feature) if alert.runbook else ""
        return f"{self.runbook}#{anchor}" if self.runbook and anchor else self.runbook

    def trace_of(self, alert: AlertRecord) -> str:
        """Return the address of the alert's trace."""
        return self.trace.replace("{trace_id}", alert.trace_id) if alert.trace_id else ""


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """One alert of an Alertmanager. Times are seconds since the epoch; `ends` is None while it fires."""

    labels: Labels
    annotations: dict[str, str]
    link: str
    starts: float
    ends: float | None = None

    def posted(self, firing_until: float) -> dict[str, object]:
        """Return it as API v2 takes it; one that fires ends at `firing_until` unless it is told again."""
        sent: dict[str, object] = {
            "labels": dict(self.labels),
            "annotations": self.annotations,
            "startsAt": format_time(self.starts),
            "endsAt": format_time(firing_until if self.ends is None else max(self.ends, self.starts)),
        }
        return sent | ({"generatorURL": self.link} if self.link else {})


class Telling:
    """The memory of one Alertmanager's poster: what was told as firing.

    Parameters
    ----------
    service
        The label ``service``: tells two stacks apart at one Alertmanager.
    links
        What annotations lead to.
    resend_seconds
        Between two tellings.
    """

    def __init__(self, service: str, links: Links, resend_seconds: float) -> None:
        self._service = service
        self._links = links
        self._life_seconds = _LIFE * resend_seconds
        self._before: dict[Labels, Notice] = {}
        self._ended: dict[Labels, Notice] = {}

    def due(self, board: Board, moment: float) -> list[Notice]:
        """Return what is to be told at `moment` by the clock."""
        groups, muted = self._groups(board, moment)
        firing = {labels: self._firing(labels, alerts) for labels, alerts in groups.items()}
        for labels, notice in self._before.items():
            if labels not in firing:
                self._ended[labels] = _over(notice, moment, muted.get(labels))
        since = moment - _ENDED_SECONDS
        for alert in board.ended(since):
            notice = self._firing(labels_of(alert, self._service), [alert])
            self._ended.setdefault(notice.labels, _over(notice, alert.at, None))
        self._ended = {
            labels: notice
            for labels, notice in self._ended.items()
            if labels not in firing and notice.ends is not None and notice.ends >= since
        }
        self._before = firing
        return [*firing.values(), *self._ended.values()]

    def payload(self, notices: list[Notice], moment: float) -> list[dict[str, object]]:
        """Return the body of a POST at `moment`."""
        return [notice.posted(moment + self._life_seconds) for notice in notices]

    def _groups(
        self, board: Board, moment: float
    ) -> tuple[dict[Labels, list[AlertRecord]], dict[Labels, SilenceRecord]]:
        groups: dict[Labels, list[AlertRecord]] = {}
        muted: dict[Labels, SilenceRecord] = {}
        for alert in board.firing():
            labels = labels_of(alert, self._service)
            if silences := board.silences.muting(alert, moment):
                muted[labels] = silences[0]
            else:
                groups.setdefault(labels, []).append(alert)
        return groups, muted

    def _firing(self, labels: Labels, alerts: list[AlertRecord]) -> Notice:
        newest = max(alerts, key=lambda alert: (alert.at, alert.alert_id))
        more = f" {len(alerts) - 1} more of Weir's alerts have these labels." if len(alerts) > 1 else ""
        trace = self._links.trace_of(newest)
        annotations = {
            "summary": newest.summary,
            "description": f"{newest.runbook} Alert {newest.alert_id}.{more}".strip(),
            "runbook_url": self._links.runbook_of(newest),
            "trace": trace,
        }
        return Notice(
            labels=labels,
            annotations={name: text for name, text in annotations.items() if text},
            link=trace,
            starts=min(alert.opened_at for alert in alerts),
        )


def _over(notice: Notice, moment: float, silence: SilenceRecord | None) -> Notice:
    """Return `notice` as ended; where it is silenced, it says until when, by whom and why."""
    annotations = dict(notice.annotations)
    if silence is not None:
        annotations["silenced"] = f"until {format_time(silence.until)} by {silence.by}: {silence.reason}"
    return msgspec.structs.replace(notice, annotations=annotations, ends=moment)
