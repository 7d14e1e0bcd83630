"""Sentinels: the same few prompts, asked again and again, whose answers tell a change of the model from one of its inputs."""

from weir.sentinel.prompts import PROMPTS, VERSION, SentinelPrompt
from weir.sentinel.client import Sentinel, endpoint

__all__ = ["PROMPTS", "VERSION", "Sentinel", "SentinelPrompt", "endpoint"]
