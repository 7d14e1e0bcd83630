"""The bridge: tells Weir's alerts to Alertmanagers and webhooks. It reads ``weir.alerts`` and writes to no topic."""
