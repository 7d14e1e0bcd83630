"""The firing alerts and active silences of ``weir.alerts``. This module uses no clock and no network.

Alertmanager identifies an alert by its labels, and a label must not have unbounded values, such as source names. So
several Weir alerts can be one alert in Alertmanager. The alert in Alertmanager fires while at least one of these Weir
alerts fires and is not silenced.
"""

from collections import OrderedDict, defaultdict

import msgspec

from stream.silences import Silences
from stream.wire import AlertRecord, EventData, SilenceRecord

#: The largest number of firing alerts, and of resolved alerts, that are kept.
MAX_ALERTS = 10_000
_FIRING = "firing"

Labels = tuple[tuple[str, str], ...]


def labels_of(alert: AlertRecord, service: str) -> Labels:
    """Return the labels of `alert` in Alertmanager, such as ``alertname=WeirPii``, sorted, without empty labels.

    Alertmanager notifies its receivers of an alert with new labels, not of new annotations. So the features are a label
    when the alert has several.
    """
    labels = {
        "alertname": f"Weir{alert.detector.title().replace('_', '')}",
        "detector": alert.detector,
        "features": ",".join(alert.features) if len(alert.features) > 1 else "",
        "model": alert.model,
        "part": alert.part,
        "service": service,
        "severity": alert.severity,
        "side": alert.side,
        "tenant": alert.tenant,
        "version": alert.model_version,
    }
    return tuple((name, value) for name, value in sorted(labels.items()) if value)


class FiringAlerts:
    """The newest record (highest revision) of each alert; duplicates and the order of arrival have no effect.

    It keeps at most `limit` firing and `limit` resolved alerts. Above a limit, the tenant with the most alerts loses the
    alert that has not changed for the longest time, so a tenant with few alerts keeps them. `dropped` counts the firing
    alerts that were dropped.
    """

    def __init__(self, limit: int = MAX_ALERTS) -> None:
        self._limit = limit
        self._firing: defaultdict[str, OrderedDict[str, AlertRecord]] = defaultdict(OrderedDict)
        self._resolved: defaultdict[str, OrderedDict[str, AlertRecord]] = defaultdict(OrderedDict)
        self.silences = Silences()
        self.dropped = 0

    def apply(self, data: EventData) -> None:
        """Apply an alert or a silence; ignore other records."""
        if isinstance(data, SilenceRecord):
            self.silences.apply(data)
        elif isinstance(data, AlertRecord) and not self._is_older(data):
            self._store(msgspec.structs.replace(data, evidence=(), causation_ids=(), principals={}))

    def _is_older(self, alert: AlertRecord) -> bool:
        known = self._firing[alert.tenant].get(alert.alert_id) or self._resolved[alert.tenant].get(alert.alert_id)
        return known is not None and alert.revision < known.revision

    def _store(self, alert: AlertRecord) -> None:
        is_firing = alert.state == _FIRING
        target, other = (self._firing, self._resolved) if is_firing else (self._resolved, self._firing)
        other[alert.tenant].pop(alert.alert_id, None)
        target[alert.tenant][alert.alert_id] = alert
        target[alert.tenant].move_to_end(alert.alert_id)
        if sum(map(len, target.values())) > self._limit:
            max(target.values(), key=len).popitem(last=False)
            self.dropped += is_firing

    def firing(self) -> list[AlertRecord]:
        """Return the firing alerts, including silenced alerts."""
        return [alert for alerts in self._firing.values() for alert in alerts.values()]

    def resolved(self, since: float) -> list[AlertRecord]:
        """Return the alerts that resolved at event time `since` or later."""
        return [alert for alerts in self._resolved.values() for alert in alerts.values() if alert.at >= since]
