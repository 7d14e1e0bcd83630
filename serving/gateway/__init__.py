"""The gateway: OpenAI's HTTP API in front of the model replicas, with capture."""
