"""Sentinels: fixed prompts that are sent repeatedly. If the answers change, the cause is the model, not its inputs."""

from weir.sentinel.client import SentinelClient, endpoint
from weir.sentinel.prompts import PROMPTS, VERSION, SentinelPrompt

__all__ = ["PROMPTS", "VERSION", "SentinelClient", "SentinelPrompt", "endpoint"]
