"""The notifications for an Alertmanager: firing alerts with an expiry, and recently resolved alerts.

Like Prometheus, the bridge posts each firing alert repeatedly, each time with a later expiry, and each resolved
alert for some minutes. So after a lost post or a restart, the bridge needs no record of the notifications that were sent.
"""

import msgspec

from stream.bridge.alert_links import AlertLinks
from stream.bridge.firing_alerts import FiringAlerts, Labels, labels_of
from stream.count_text import count_text
from stream.wire import AlertRecord, SilenceRecord, format_time

#: A firing alert expires after this number of intervals without a post.
_LIFE_INTERVALS = 4
#: A resolved alert is posted for this time, as Prometheus does: long enough for an Alertmanager to restart.
_RESOLVED_SECONDS = 900.0


class Notification(msgspec.Struct, frozen=True, kw_only=True):
    """One alert in the form of Alertmanager. Times are seconds since the epoch; `ends` is None while the alert fires."""

    labels: Labels
    annotations: dict[str, str]
    link: str
    starts: float
    ends: float | None = None

    def body(self, now: float, life_seconds: float) -> dict[str, object]:
        """Return the JSON of Alertmanager's API v2 at clock time `now` of the Alertmanager.

        A firing alert expires after `life_seconds` unless it is posted again. The clock that wrote the alert's times may be ahead. To Alertmanager,
        an alert whose end is in the future fires, so the times of an ended alert are at most `now`.
        """
        starts = min(self.starts, now)
        ends = now + life_seconds if self.ends is None else max(starts, min(self.ends, now))
        body: dict[str, object] = {
            "labels": dict(self.labels),
            "annotations": self.annotations,
            "startsAt": format_time(starts),
            "endsAt": format_time(ends),
        }
        return body | ({"generatorURL": self.link} if self.link else {})


class Notifications:
    """Computes the notifications of one Alertmanager; the label `service` distinguishes stacks."""

    def __init__(self, service: str, links: AlertLinks, resend_seconds: float) -> None:
        self._service = service
        self._links = links
        self._life_seconds = _LIFE_INTERVALS * resend_seconds
        self._firing: dict[Labels, Notification] = {}
        self._resolved: dict[Labels, Notification] = {}

    def due(self, alerts: FiringAlerts, now: float) -> list[Notification]:
        """Return the notifications to post at clock time `now`.

        An alert that `alerts` dropped has not ended. Since `alerts` does not state which ones it dropped, labels that are absent after a drop are not
        posted as ended, except those of silenced and of resolved alerts; in Alertmanager, they expire.
        """
        groups, muted = self._groups(alerts, now)
        firing = {labels: self._notification(labels, group) for labels, group in groups.items()}
        for labels, notification in self._firing.items():
            if labels not in firing and (labels in muted or not alerts.dropped):
                self._resolved[labels] = _ended(notification, now, muted.get(labels))
        since = now - _RESOLVED_SECONDS
        for alert in alerts.resolved(since):
            notification = self._notification(labels_of(alert, self._service), [alert])
            self._resolved.setdefault(notification.labels, _ended(notification, alert.at, None))
        self._resolved = {
            labels: notification
            for labels, notification in self._resolved.items()
            if labels not in firing and notification.ends is not None and notification.ends >= since
        }
        self._firing = firing
        return [*firing.values(), *self._resolved.values()]

    def payload(self, notifications: list[Notification], now: float) -> list[dict[str, object]]:
        """Return the body of a POST request at clock time `now` of the Alertmanager."""
        return [notification.body(now, self._life_seconds) for notification in notifications]

    def _groups(
        self, alerts: FiringAlerts, now: float
    ) -> tuple[dict[Labels, list[AlertRecord]], dict[Labels, SilenceRecord]]:
        """Return {labels: firing alerts that are not silenced}, and {labels: a silence} of the silenced alerts."""
        groups: dict[Labels, list[AlertRecord]] = {}
        muted: dict[Labels, SilenceRecord] = {}
        for alert in alerts.firing():
            labels = labels_of(alert, self._service)
            if silences := alerts.silences.muting(alert, now):
                muted[labels] = silences[0]
            else:
                groups.setdefault(labels, []).append(alert)
        return groups, muted

    def _notification(self, labels: Labels, alerts: list[AlertRecord]) -> Notification:
        newest = max(alerts, key=lambda alert: (alert.at, alert.alert_id))
        others = count_text(len(alerts) - 1, "other alert of Weir has", "other alerts of Weir have")
        more = f" {others} these labels." if len(alerts) > 1 else ""
        trace = self._links.trace_of(newest)
        annotations = {
            "summary": newest.summary,
            "description": f"{newest.runbook} Alert {newest.alert_id}.{more}".strip(),
            "runbook_url": self._links.runbook_of(newest),
            "trace": trace,
        }
        return Notification(
            labels=labels,
            annotations={name: text for name, text in annotations.items() if text},
            link=trace,
            starts=min(alert.opened_at for alert in alerts),
        )


def _ended(notification: Notification, at: float, silence: SilenceRecord | None) -> Notification:
    """Return `notification` with end time `at`, and with the details of `silence`, if any, as an annotation."""
    annotations = dict(notification.annotations)
    if silence is not None:
        annotations["silenced"] = f"until {format_time(silence.until)} by {silence.by}: {silence.reason}"
    return msgspec.structs.replace(notification, annotations=annotations, ends=at)
