"""Selects the alert records that a webhook receives."""

from collections import OrderedDict
from fnmatch import fnmatchcase

from stream.bridge.firing_alerts import MAX_ALERTS
from stream.remember import remember
from stream.settings import WebhookSettings
from stream.silences import Silences
from stream.wire import AlertRecord
from stream.wire.semconv import SEVERITY_NUMBERS


def message_id(alert: AlertRecord) -> str:
    """Return the message id of an alert's state, severity and number of features, if several; each retry has the same id."""
    further = f".{len(alert.features)}" if len(alert.features) > 1 else ""
    return f"{alert.alert_id}.{alert.state}.{alert.severity}{further}"


class WebhookFilter:
    """Selects an alert for a webhook when it opens, changes its severity, has a further feature or resolves."""

    def __init__(self, settings: WebhookSettings) -> None:
        self._settings = settings
        self._delivered: OrderedDict[str, tuple[int, str]] = OrderedDict()

    def selects(self, alert: AlertRecord, silences: Silences) -> bool:
        """Return whether the webhook receives `alert`; False if a silence mutes the alert at the time `alert.at`.

        A silence mutes a resolution only if it also muted the opening; otherwise the receiver would keep the alert open. After a restart, the
        times decide whether it muted the opening.
        """
        if not fnmatchcase(alert.tenant, self._settings.tenants):
            return False
        if (
            SEVERITY_NUMBERS.get(alert.severity, SEVERITY_NUMBERS["critical"])
            < SEVERITY_NUMBERS[self._settings.severity]
        ):
            return False
        revision, message = self._delivered.get(alert.alert_id, (-1, ""))
        if alert.revision < revision or message == message_id(alert):
            return False
        if alert.state == "resolved" and message:  # the receiver has the opening
            return True
        times = (alert.at, alert.opened_at) if alert.state == "resolved" else (alert.at,)
        return not all(silences.muting(alert, time) for time in times)

    def delivered(self, alert: AlertRecord) -> None:
        """Record a delivery, so that the message is not sent again.

        Only the latest :data:`MAX_ALERTS` alerts are kept. A message about an older alert can be sent again, with the
        same id.
        """
        remember(self._delivered, alert.alert_id, (alert.revision, message_id(alert)), MAX_ALERTS)
