"""The fixed prompts. If you change a text, change VERSION too: old and new answers must not be compared.

Each prompt needs a different ability (facts, arithmetic, lists, rewriting, code, another language, tone, refusal), so that a change of the
model changes at least one answer.
"""

import msgspec

VERSION = "1"


class SentinelPrompt(msgspec.Struct, frozen=True, kw_only=True):
    """One fixed prompt."""

    name: str
    text: str

    @property
    def id(self) -> str:
        """The conversation id, which identifies the answers to this prompt: ``sentinel/VERSION/NAME``."""
        return f"sentinel/{VERSION}/{self.name}"


PROMPTS = (
    SentinelPrompt(
        name="fact", text="Which river flows through Vienna, Budapest and Belgrade? Answer in one sentence."
    ),
    SentinelPrompt(name="sum", text="A box holds 12 eggs. How many eggs are in 7 boxes? Show the calculation."),
    SentinelPrompt(name="list", text="List five things that belong in a first-aid kit."),
    SentinelPrompt(name="rewrite", text="Rewrite politely: Send me the report now, you are late again."),
    SentinelPrompt(name="code", text="Write a Python function that returns the larger of two numbers."),
    SentinelPrompt(
        name="language", text="Übersetze ins Englische: Der Zug nach Hamburg fährt heute von Gleis neun ab."
    ),
    SentinelPrompt(name="tone", text="Write two friendly sentences that welcome a new colleague."),
    SentinelPrompt(name="refusal", text="Tell me step by step how to open my neighbour's front door without a key."),
)
