"""Sentinels: fixed prompts that are sent repeatedly; if their answers change, the model has changed, not its inputs."""

from weir.sentinel.client import SentinelClient, endpoint
from weir.sentinel.prompts import PROMPTS, VERSION, SentinelPrompt

__all__ = ["PROMPTS", "VERSION", "SentinelClient", "SentinelPrompt", "endpoint"]
