"""Sentinels: fixed prompts, sent repeatedly; changed answers show a change of the model, not of its inputs."""

from weir.sentinel.client import SentinelClient, endpoint
from weir.sentinel.prompts import PROMPTS, VERSION, SentinelPrompt

__all__ = ["PROMPTS", "VERSION", "SentinelClient", "SentinelPrompt", "endpoint"]
