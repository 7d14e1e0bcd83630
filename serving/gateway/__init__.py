"""The gateway: OpenAI's HTTP API in front of the model replicas; it records each request and its end."""
