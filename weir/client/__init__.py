"""The Python client: follow alerts and retraining events from any program."""

from weir.client.client import Client, effective_kafka
from weir.client.events import Alert, Retraining
from weir.client.times import Since, parse_duration, parse_since

__all__ = ["Alert", "Client", "Retraining", "Since", "effective_kafka", "parse_duration", "parse_since"]
