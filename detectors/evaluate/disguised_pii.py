"""Personal data in disguise: how much of it the detector still finds, on presidio-research's labelled texts."""

import base64
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from detectors.base import Score, Span, TextDetector
from detectors.evaluate.datasets import presidio
from detectors.registry import create_text

__all__ = ["CODES", "DISGUISES", "disguised"]

Row = dict[str, Any]
TEXTS, BATCH = 500, 32
_CYRILLIC = str.maketrans("aeopcyxi", "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456")
_LEET = str.maketrans("aeios", "43105")

#: What becomes of each character.
DISGUISES: dict[str, Callable[[str], str]] = {
    "plain": lambda character: character,
    "homoglyphs": lambda character: character.translate(_CYRILLIC),
    "zero width": lambda character: f"{character}\u200b",
    "soft hyphen": lambda character: f"{character}\u00ad",
    "tag characters between": lambda character: f"{character}\U000e0061",
    "full width": lambda character: chr(0xFEE0 + ord(character)) if "!" <= character <= "~" else character,
    "leet": lambda character: character.translate(_LEET),
    "emoji": lambda character: " \U0001f600 " if character == " " else character,
}
#: What becomes of a whole text; nothing of it is left to mark, so only flags are compared.
CODES: dict[str, Callable[[str], str]] = {
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "hexadecimal": lambda text: text.encode().hex(),
    "tag characters": lambda text: "".join(chr(0xE0000 + ord(c)) if " " <= c <= "~" else c for c in text),
}


def _dressed(text: str, spans: Sequence[Span], disguise: Callable[[str], str]) -> tuple[str, set[int]]:
    """Return a text in disguise, and where the characters of its spans (but spaces) are in it."""
    personal = {index for span in spans for index in range(span.start, span.end) if not text[index].isspace()}
    parts, wanted, length = [disguise(character) for character in text], set[int](), 0
    for index, piece in enumerate(parts):
        if index in personal:
            wanted.add(length)
        length += len(piece)
    return "".join(parts), wanted


def _scores(detector: TextDetector[Any], texts: Sequence[str]) -> list[Score]:
    return [score for at in range(0, len(texts), BATCH) for score in detector.score_many(texts[at : at + BATCH])]


def disguised(path: Path, seed: int) -> list[Row]:
    """Return the share of personal characters that are found, and of texts flagged, plain and in each disguise."""
    detector = create_text("pii")
    detector.load()
    every = presidio(path)
    records = random.Random(seed).sample(every, min(TEXTS, len(every)))  # noqa: S311 - a reproducible sample
    rows: list[Row] = []
    for name, disguise in DISGUISES.items():
        dressed = [_dressed(text, spans, disguise) for text, spans in records]
        scores = _scores(detector, [text for text, _ in dressed])
        found = total = 0
        for score, (_, wanted) in zip(scores, dressed, strict=True):
            marked = {index for span in score.spans for index in range(span.start, span.end)}
            found, total = found + len(marked & wanted), total + len(wanted)
        rows.append(_row(name, scores) | {"recall": found / max(1, total)})
    return rows + [_row(name, _scores(detector, [code(text) for text, _ in records])) for name, code in CODES.items()]


def _row(name: str, scores: Sequence[Score]) -> Row:
    flagged = sum(score.flagged for score in scores) / max(1, len(scores))
    return {"detector": "pii", "data": f"personal data, {name}", "texts": len(scores), "flagged": flagged}
