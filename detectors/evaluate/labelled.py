"""What a detector is measured on: labelled sets of texts, and ordinary prompts."""

from collections.abc import Mapping, Sequence

import msgspec

from detectors.base import Span, Turn

__all__ = ["Asked", "Case", "LabelledSet", "Ordinary"]


#: A text and the turns that it answers.
Asked = tuple[str, tuple[Turn, ...]]


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """A text and what is true of it.

    Attributes
    ----------
    prompt
        The turns that the text answers; empty where it answers none, or nobody knows them.
    label
        Whether a detector should flag it; None where only spans are known.
    spans
        Where personal data is, in characters of the text; None where nobody marked any.
    groups
        The column of a table (``functionality``, ``type``) → the values of this text in it.
    """

    text: str
    prompt: tuple[Turn, ...] = ()
    label: bool | None = None
    spans: tuple[Span, ...] | None = None
    groups: Mapping[str, tuple[str, ...]] = {}

    @property
    def asked(self) -> Asked:
        """What a detector sees of it."""
        return self.text, self.prompt


class LabelledSet(msgspec.Struct, frozen=True, kw_only=True):
    """Cases of one origin for one detector; all of them have a label, or all of them have spans."""

    detector: str
    name: str
    cases: Sequence[Case]


class Ordinary(msgspec.Struct, frozen=True, kw_only=True):
    """Benign traffic of one origin, without anything that a detector looks for."""

    source: str
    texts: Sequence[str]
