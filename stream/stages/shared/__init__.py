"""The base of the stages, the codec of their states, spans and metrics."""
