"""What a detector is measured on: labelled sets of texts, and ordinary prompts."""

from collections.abc import Mapping, Sequence

import msgspec

from detectors.base import Span

__all__ = ["Case", "LabelledSet", "Ordinary"]


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """A text and what is true of it.

    Attributes
    ----------
    label
        Whether a detector should flag it; None where only spans are known.
    spans
        Where personal data is, in characters of the text; None where nobody marked any.
    groups
        The column of a table (``functionality``, ``type``) → the values of this text in it.
    """

    text: str
    label: bool | None = None
    spans: tuple[Span, ...] | None = None
    groups: Mapping[str, tuple[str, ...]] = {}


class LabelledSet(msgspec.Struct, frozen=True, kw_only=True):
    """Cases of one origin for one detector; all of them have a label, or all of them have spans."""

    detector: str
    name: str
    cases: Sequence[Case]


class Ordinary(msgspec.Struct, frozen=True, kw_only=True):
    """Benign traffic of one origin, without anything that a detector looks for."""

    source: str
    texts: Sequence[str]
