"""The interface of a detector that reads an answer while the model generates it."""

import abc
from typing import ClassVar

import msgspec


class GrowingText(msgspec.Struct, frozen=True, kw_only=True):
    """The last characters of an answer: a part that was checked before (the overlap), and the new text after it.

    `text` begins and ends at the boundary of a word, except in text without white space.
    """

    text: str
    #: Number of the first characters that were checked before.
    checked: int = 0
    #: Whether `text` begins where the answer begins, and whether it ends where the answer ends.
    is_start: bool = True
    is_end: bool = True


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """The position of a finding in a `GrowingText`, as character offsets, ``end`` exclusive, and its score in [0, 1]."""

    start: int
    end: int
    score: float


class GrowingTextDetector(abc.ABC):
    """A detector of harmful text in an answer that grows; `find` keeps no state between calls."""

    name: ClassVar[str]
    #: The shipped threshold: higher than an alert's, because a wrong finding stops an answer.
    threshold: ClassVar[float]

    @abc.abstractmethod
    def load(self) -> None:
        """Load weights and compile patterns; a second call does nothing.

        Raises WeightsError if weights are missing or their digest is not the pinned digest.
        """

    @abc.abstractmethod
    def find(self, growing: GrowingText, threshold: float) -> Found | None:
        """Return the finding that ends first, of those with a score of at least `threshold`, or None.

        Raises NotLoadedError if ``load()`` was not called.
        """
