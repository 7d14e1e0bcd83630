"""OpenAI's HTTP API: its requests validated, its answers and errors in its own shape."""
