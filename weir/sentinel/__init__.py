"""Fixed prompts of Weir's own. Sentinels: if their answers change, the cause is the model, not its inputs. Pairs: for the detector `bias`."""

from weir.sentinel.client import SentinelClient, endpoint
from weir.sentinel.pairs import PAIRS, PAIRS_VERSION, PromptOfPair
from weir.sentinel.prompts import PROMPTS, VERSION, SentinelPrompt

__all__ = [
    "PAIRS",
    "PAIRS_VERSION",
    "PROMPTS",
    "VERSION",
    "PromptOfPair",
    "SentinelClient",
    "SentinelPrompt",
    "endpoint",
]
