"""Personal data in a growing answer: the patterns of the PII detector, without its token head."""

from typing import ClassVar

from detectors.cheap.growing_text import Found, GrowingText, GrowingTextDetector
from detectors.errors import NotLoadedError
from detectors.pii.patterns import PatternScanner
from detectors.pii.rules import RULES

#: If a text begins inside an answer, findings in its first `CUT` characters are ignored: each can be the end of a longer number.
CUT = 40


class GrowingPii(GrowingTextDetector):
    """Detector of data that identifies a person: cards, accounts, e-mail addresses, phone and official numbers.

    Names, towns and dates, which need the token head, are not found.
    """

    name: ClassVar[str] = "pii"
    threshold: ClassVar[float] = 0.6
    _scanner: PatternScanner | None = None

    def load(self) -> None:
        """Compile the patterns; see `GrowingTextDetector.load`."""
        self._scanner = self._scanner or PatternScanner()

    def find(self, growing: GrowingText, threshold: float) -> Found | None:
        """Return the first personal data; see `GrowingTextDetector.find`.

        If data ends where `text` ends, but the answer continues, it may be the beginning of longer data. This call does
        not return such data; the next call reads it again in the overlap.
        """
        if self._scanner is None:
            raise NotLoadedError("pii.find before load(): call load() once in the process that scores")
        first = 0 if growing.is_start else CUT
        last = len(growing.text if growing.is_end else growing.text.rstrip())
        spans = [
            span
            for span in self._scanner.scan(growing.text).spans
            if span.score >= threshold
            and span.type not in RULES.indirect
            and span.start >= first
            and (growing.is_end or span.end < last)
        ]
        if not spans:
            return None
        span = min(spans, key=lambda found: (found.end, found.start))
        return Found(start=span.start, end=span.end, score=span.score)
