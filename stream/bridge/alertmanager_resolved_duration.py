"""The time for which the bridge posts a resolved alert to an Alertmanager."""

__all__ = ["RESOLVED_SECONDS"]

#: As Prometheus: long enough for an Alertmanager that restarts.
RESOLVED_SECONDS = 900.0
