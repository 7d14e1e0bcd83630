"""Which records of an alert a webhook is to be told of, and in which words."""

from collections import OrderedDict
from fnmatch import fnmatchcase

import msgspec

from stream.bridge.firing_alerts import HELD
from stream.bridge.notification import Links
from stream.settings import WebhookSettings
from stream.silences import Silences
from stream.wire import AlertRecord, format_time
from stream.wire.semconv import SEVERITY_NUMBERS

__all__ = ["News", "message_id"]


def message_id(alert: AlertRecord) -> str:
    """Return the id of what is told of `alert` in its present state: the same whenever it is told again."""
    return f"{alert.alert_id}.{alert.state}.{alert.severity}"


class News:
    """Tells news from repetition, for one webhook.

    An alert is news when it opens, when its severity changes and when it resolves; more evidence alone is none.

    Parameters
    ----------
    settings
        Its tenants and least severity.
    links
        What the message leads to.
    """

    def __init__(self, settings: WebhookSettings, links: Links) -> None:
        self._settings = settings
        self._links = links
        self._told: OrderedDict[str, tuple[int, str]] = OrderedDict()

    def is_news(self, alert: AlertRecord, silences: Silences) -> bool:
        """Tell whether the webhook is to hear of `alert`; one that was silenced when it came to this state is not told."""
        if not fnmatchcase(alert.tenant, self._settings.tenants):
            return False
        if SEVERITY_NUMBERS[alert.severity] < SEVERITY_NUMBERS[self._settings.severity]:
            return False
        revision, told = self._told.get(alert.alert_id, (-1, ""))
        if alert.revision < revision or told == message_id(alert):
            return False
        return not silences.muting(alert, alert.at)

    def told(self, alert: AlertRecord) -> None:
        """Remember that the webhook took it; forgetting the oldest costs a repetition under the same id."""
        self._told[alert.alert_id] = (alert.revision, message_id(alert))
        self._told.move_to_end(alert.alert_id)
        if len(self._told) > HELD:
            self._told.popitem(last=False)

    def body(self, alert: AlertRecord) -> bytes:
        """Return the message: ``type``, ``timestamp`` and ``data``, the alert as ``weir alerts --json`` has it, and its links."""
        data = msgspec.to_builtins(alert)
        links = {"runbook_url": self._links.runbook_of(alert), "trace_url": self._links.trace_of(alert)}
        return msgspec.json.encode(
            {"type": f"weir.alert.{alert.state}", "timestamp": format_time(alert.at), "data": data | links}
        )
