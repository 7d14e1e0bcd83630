"""The time for which the bridge posts a resolved alert to an Alertmanager."""

__all__ = ["RESOLVED_SECONDS"]

#: The same as Prometheus: long enough for an Alertmanager to restart.
RESOLVED_SECONDS = 900.0
