"""What fires now by the log: the alerts and silences of ``weir.alerts``, folded; no clock, no network.

Alertmanager knows an alert by its labels alone, and no label may carry what has no bound (a source, a request). So several alerts of
Weir can be one there: it fires as long as one of them does and nobody silenced it.
"""

from collections import OrderedDict
from collections.abc import Iterable

import msgspec

from stream.silences import Silences
from stream.wire import AlertRecord, EventData, SilenceRecord

__all__ = ["HELD", "Board", "Labels", "labels_of"]

#: Alerts of each kind that are held, at most: those that fire, and those that ended.
HELD = 10_000
_FIRING = "firing"

Labels = tuple[tuple[str, str], ...]


def labels_of(alert: AlertRecord, service: str) -> Labels:
    """Return the identity of `alert` at an Alertmanager, sorted by name; empty labels are left out, as Alertmanager would.

    Examples
    --------
    >>> alert = AlertRecord(alert_id="a", state="firing", detector="pii", severity="warning", tenant="acme", model="m",
    ...     side="input", opened_at=0.0, at=0.0)
    >>> dict(labels_of(alert, "weir"))["alertname"]
    'WeirPii'
    """
    labels = {
        "alertname": f"Weir{alert.detector.title().replace('_', '')}",
        "detector": alert.detector,
        "model": alert.model,
        "service": service,
        "severity": alert.severity,
        "side": alert.side,
        "tenant": alert.tenant,
    }
    return tuple((name, value) for name, value in sorted(labels.items()) if value)


class Board:
    """The newest record of every alert, as far as it matters now.

    Records are applied in any order between partitions, and as often as they are read: the highest revision counts.

    Parameters
    ----------
    held
        Bound on the alerts of each kind; beyond it the one that was heard of longest ago is let go, and counted in `dropped`.
    """

    def __init__(self, held: int = HELD) -> None:
        self._held = held
        self._firing: OrderedDict[str, AlertRecord] = OrderedDict()
        self._ended: OrderedDict[str, AlertRecord] = OrderedDict()
        self.silences = Silences()
        self.dropped = 0

    def apply(self, data: EventData) -> None:
        """Take a record of the log."""
        if isinstance(data, SilenceRecord):
            self.silences.apply(data)
        elif isinstance(data, AlertRecord) and not self._is_older(data):
            self._take(msgspec.structs.replace(data, evidence=(), causation_ids=(), principals={}))

    def _is_older(self, alert: AlertRecord) -> bool:
        known = self._firing.get(alert.alert_id) or self._ended.get(alert.alert_id)
        return known is not None and alert.revision < known.revision

    def _take(self, alert: AlertRecord) -> None:
        into, other = (self._firing, self._ended) if alert.state == _FIRING else (self._ended, self._firing)
        other.pop(alert.alert_id, None)
        into[alert.alert_id] = alert
        into.move_to_end(alert.alert_id)
        if len(into) > self._held:
            into.popitem(last=False)
            self.dropped += into is self._firing

    def firing(self) -> Iterable[AlertRecord]:
        """Return the alerts that fire, silenced ones too."""
        return self._firing.values()

    def ended(self, since: float) -> list[AlertRecord]:
        """Return the alerts that were resolved at log time `since` or later."""
        return [alert for alert in self._ended.values() if alert.at >= since]
