"""The JSON body that a webhook receives for an alert."""

import msgspec

from stream.bridge.alert_links import AlertLinks
from stream.wire import AlertRecord, format_time

__all__ = ["payload"]


def payload(alert: AlertRecord, links: AlertLinks) -> bytes:
    """Return ``type``, ``timestamp`` and ``data``: the alert in the form of `weir alerts --json`, and its links."""
    data = msgspec.to_builtins(alert)
    addresses = {"runbook_url": links.runbook_of(alert), "trace_url": links.trace_of(alert)}
    return msgspec.json.encode(
        {"type": f"weir.alert.{alert.state}", "timestamp": format_time(alert.at), "data": data | addresses}
    )
