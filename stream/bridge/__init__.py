"""The bridge: reads ``weir.alerts`` and sends the alerts to Alertmanagers and webhooks. It writes to no topic."""
