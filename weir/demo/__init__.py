"""``weir demo``: send requests of a new tenant and show their verdicts, alerts and retraining event."""
