"""Abuse in a growing answer: the linear model of the toxicity detector, without the encoder."""

# ruff: noqa: RUF001 - typographic quotation marks and apostrophes
import re
from collections.abc import Iterator, Sequence
from typing import ClassVar

import numpy as np

from detectors.cheap.growing_text import Found, GrowingText, GrowingTextDetector
from detectors.errors import NotLoadedError
from detectors.models.linear import Linear, load_linear
from detectors.normalise.disguise import views
from detectors.normalise.loops import without_loops

#: Characters of a window, and of the step to the next window. A short insult in a long harmless sentence is found only in
#: a short window, because the linear model divides by the square root of the number of features.
WINDOW, STEP = 35, 15
#: Score of a direct insult.
INSULT = 0.96
#: Maximum number of characters of a sentence that are scored together.
SENTENCE = 150
#: Minimum number of characters that are scored together; always two words or more, because one word has too few features ("Twitch").
SHORTEST = 20
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")
_WORD = re.compile(r"\w+")
_WORD_START = re.compile(r"\b\w")
# Direct insults, which the linear model scores too low in short texts ("You are a complete idiot"). A match is a phrase that begins a clause
# and contains both the addressed person and the insult. Texts about insults, questions and comfort ("that does not mean you are a loser")
# do not match, because the phrase does not begin a clause.
_BETWEEN = (
    "a|an|all|absolute(?:ly)?|are|bloody|brainless|but|complete(?:ly)?|dirty|disgusting|dumb|fat|filthy|fucking|goddamn|"
    "hopeless|ignorant|just|lazy|little|lying|miserable|nothing|pathetic|piece|really|retarded|sad|sick|so|such|stinking|"
    "stupid|the|total(?:ly)?|ugly|useless|utter(?:ly)?|vile|worthless|and"
)
_INSULT = (
    "arseholes?|assholes?|bastards?|bitch(?:es)?|cunts?|dickheads?|dipshits?|dumbass(?:es)?|fuckers?|fuckwits?|idiots?|"
    "imbeciles?|losers?|morons?|motherfuckers?|retards?|scum|scumbags?|shitheads?|sluts?|whores?|"
    "(?:piece|sack|pile) of (?:shit|crap|garbage|trash)|waste of (?:space|oxygen|air|skin)|(?:fucking|so) (?:stupid|dumb)"
)
_CLAUSE = r"(?:^|[.!?,;:\"“”*(\n]\s{0,3}|\b(?:and|because|but|up|hell)\s)"
_INSULTS = re.compile(
    rf"(?:(?:{_CLAUSE}(?i:you)|\bY(?:ou|OU))(?:['’](?i:re)| (?i:are|r))?(?:,? (?i:{_BETWEEN})){{0,8}},? (?i:{_INSULT})"
    r"|(?i:\bfuck (?:you|off)|\bgo (?:fuck|kill|hang) yourself|\bshut the fuck up))(?!\w)"
)


class GrowingToxicity(GrowingTextDetector):
    """Detector of insults, hate and threats in plain words.

    It scores each sentence and short windows of it. The linear model was trained on whole texts, so `threshold` was
    chosen separately for sentences and windows, on completions of ordinary tasks.
    """

    name: ClassVar[str] = "toxicity"
    threshold: ClassVar[float] = 0.92
    _linear: Linear | None = None

    def load(self) -> None:
        """Load the linear model; see `GrowingTextDetector.load`."""
        self._linear = self._linear or load_linear()

    def find(self, growing: GrowingText, threshold: float) -> Found | None:
        """Return the first abusive sentence or window; see `GrowingTextDetector.find`."""
        if self._linear is None:
            raise NotLoadedError("toxicity.find before load(): call load() once in the process that scores")
        text = growing.text
        sentences = list(_sentences(text, growing.checked))
        rows = [(span, text[slice(*span)]) for span in sentences]
        rows += [(span, copy) for span, raw in rows for copy in views(raw) if copy != raw]
        windows = [span for sentence in sentences for span in _windows(text, *sentence, growing.checked)]
        rows += [(span, text[slice(*span)]) for span in windows]
        if not rows:
            return None
        odds = self._linear.logits([without_loops(copy) for _, copy in rows])[:, 0]
        scores = [float(score) for score in 1.0 / (1.0 + np.exp(-odds))]
        found = [
            Found(start=start, end=end, score=score)
            for ((start, end), _), score in zip(rows, scores, strict=True)
            if score >= threshold
        ]
        if threshold <= INSULT:
            found += [
                Found(start=start, end=end, score=INSULT)
                for start, end in _insults(text, rows)
                if start or growing.is_start  # else the clause may have begun before `text`
            ]
        return min(found, key=lambda one: (one.end, -one.start), default=None)


def insults(text: str) -> Iterator[tuple[int, int]]:
    """Yield the start and end of each direct insult in a text, in time linear in its length."""
    for match in _INSULTS.finditer(text):
        yield match.span()


def _insults(text: str, rows: Sequence[tuple[tuple[int, int], str]]) -> Iterator[tuple[int, int]]:
    """Yield the direct insults in a text, and the range of each row whose normalised copy contains an insult."""
    yield from insults(text)
    yield from (span for span, copy in rows if copy != text[slice(*span)] and any(insults(copy)))


def _sentences(text: str, checked: int) -> Iterator[tuple[int, int]]:
    """Yield the sentences with new text, stripped; long ones as overlapping pieces of at most `SENTENCE` characters."""
    start = 0
    for end, following in [*(match.span() for match in _SENTENCE_END.finditer(text)), (len(text), len(text))]:
        if end > checked:
            for last in [*range(max(start, checked) + SENTENCE, end, SENTENCE // 2), end]:
                yield from _words(text, max(start, last - SENTENCE), last, cut_end=last < end)
        start = following


def _windows(text: str, start: int, end: int, checked: int) -> Iterator[tuple[int, int]]:
    """Yield the windows of a sentence with new text: a window every `STEP` characters, and a window at its end."""
    if end - start <= WINDOW:
        return
    for last in [*range(max(start, checked) + STEP, end, STEP), end]:
        yield from _words(text, max(start, last - WINDOW), last, cut_end=last < end)


def _words(text: str, start: int, end: int, *, cut_end: bool) -> Iterator[tuple[int, int]]:
    """Yield the range without partial words and white space at its ends, if at least two words are left.

    A range that is then shorter than `SHORTEST` begins earlier.
    """
    whole = end
    while cut_end and whole > start and text[whole - 1].isalnum() and text[whole : whole + 1].isalnum():
        whole -= 1
    end = whole if whole > start else end
    if start and text[start - 1].isalnum() and (partial := _WORD.match(text, start, end)):
        start = partial.end() if partial.end() < end else start
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    if end - start < SHORTEST:
        start = _word_start(text, max(0, end - SHORTEST), start)
    if len(_WORD.findall(text, start, end)) > 1:
        yield start, end


def _word_start(text: str, first: int, last: int) -> int:
    """Return the first offset in ``[first, last]`` at which a word begins, or ``last``."""
    begin = _WORD_START.search(text, first, last)
    return begin.start() if begin else last
