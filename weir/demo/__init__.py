"""``weir demo``: requests of a new tenant, and the verdicts, alerts and retraining event that follow."""
