"""OpenAI's HTTP API: request models, response shapes, errors."""
