"""The data of an evaluation: labelled sets of texts, and ordinary prompts."""

from collections.abc import Mapping, Sequence

import msgspec

from detectors.base import Span, Turn

__all__ = ["Case", "Input", "LabelledSet", "OrdinaryPrompts"]

#: A text and the turns that it answers.
Input = tuple[str, tuple[Turn, ...]]


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """A text and its labels."""

    text: str
    #: The turns that the text answers; empty if it answers none, or they are unknown.
    prompt: tuple[Turn, ...] = ()
    #: Whether a detector should flag it; None if only spans are known.
    label: bool | None = None
    #: Personal data, in characters of the text; None if nobody marked any.
    spans: tuple[Span, ...] | None = None
    #: Column of a table (``functionality``, ``type``) → the values of this text in it.
    groups: Mapping[str, tuple[str, ...]] = {}

    @property
    def input(self) -> Input:
        """The part that a detector reads."""
        return self.text, self.prompt


class LabelledSet(msgspec.Struct, frozen=True, kw_only=True):
    """Cases of one origin for one detector; all of them have a label, or all of them have spans."""

    detector: str
    name: str
    cases: Sequence[Case]


class OrdinaryPrompts(msgspec.Struct, frozen=True, kw_only=True):
    """Benign traffic of one origin; every flag on it is a false positive."""

    source: str
    texts: Sequence[str]
