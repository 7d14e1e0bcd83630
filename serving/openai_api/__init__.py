"""OpenAI's HTTP API: request models, response formats and errors."""
