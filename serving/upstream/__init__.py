"""Models of other OpenAI-compatible servers: the gateway relays requests to them and records the answers."""
