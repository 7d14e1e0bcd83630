"""Alerts and retraining events as the client returns them and ``--json`` prints them: the events of Kafka, with all their fields."""

from stream.wire import AlertRecord, RetrainingRecord


class Alert(AlertRecord, frozen=True, kw_only=True, omit_defaults=False):
    """The state of an alert: an :class:`~stream.wire.AlertRecord`, whose times are seconds since the epoch, UTC.

    `at` is the event time of the change: when the alert fired, resolved, or (an update, or the end of a silence) changed.
    `silenced` is whether a silence (``weir alerts silence``) covered the alert at that time.
    """

    silenced: bool = False


class Retraining(RetrainingRecord, frozen=True, kw_only=True, omit_defaults=False):
    """A retraining event: a :class:`~stream.wire.RetrainingRecord`, whose times are seconds since the epoch, UTC."""
