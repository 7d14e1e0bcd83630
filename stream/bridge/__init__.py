"""The bridge: sends Weir's alerts to Alertmanagers and webhooks. It reads ``weir.alerts`` and writes to no topic."""
