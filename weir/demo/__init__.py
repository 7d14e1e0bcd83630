"""``weir demo``: real traffic of its own tenant, and how it turns into verdicts, alerts and a retraining event."""
