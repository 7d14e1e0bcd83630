"""The data of an evaluation: labelled sets of texts, and ordinary prompts."""

from collections.abc import Mapping, Sequence

import msgspec

from detectors.base import Span, Turn

#: A text, and the messages of the prompt that it answers.
Input = tuple[str, tuple[Turn, ...]]
#: Source → its benign prompts; every flagged prompt is a false positive.
OrdinaryPrompts = Mapping[str, Sequence[str]]


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """A text and its labels."""

    text: str
    #: The messages of the prompt that the text answers; empty without a known prompt.
    prompt: tuple[Turn, ...] = ()
    #: Whether a detector should flag the text; None if only spans are known.
    label: bool | None = None
    #: Personal data in the text, as character offsets; None if the data set does not label spans.
    spans: tuple[Span, ...] | None = None
    #: Grouping column (``functionality``, ``type``) → the values of this text, for tables with a row per value.
    groups: Mapping[str, tuple[str, ...]] = {}

    @property
    def input(self) -> Input:
        """The part of the case that a detector reads: the text and its prompt."""
        return self.text, self.prompt


class LabelledSet(msgspec.Struct, frozen=True, kw_only=True):
    """Cases from one source for one detector; either all cases have a label, or all cases have spans."""

    detector: str
    name: str
    cases: Sequence[Case]
    #: The only types of spans that the set labels; found spans of other types are not counted. Empty: every type counts.
    types: tuple[str, ...] = ()
