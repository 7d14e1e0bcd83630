"""The study ``disguises``: how much personal data the PII detector finds in disguised texts."""

import base64
import random
from collections.abc import Callable, Mapping, Sequence

from detectors.base import Score, Span
from detectors.evaluate.entity_sets import PRESIDIO, is_held_out
from detectors.evaluate.progress import tracked
from detectors.evaluate.readers import presidio
from detectors.evaluate.scoring import load_text, score_texts
from detectors.evaluate.studies.context import Row, StudyContext

TEXTS = 500
CYRILLIC = str.maketrans("aeopcyxi", "\u0430\u0435\u043e\u0440\u0441\u0443\u0445\u0456")
LEET = str.maketrans("aeios", "43105")


def _tagged(text: str) -> str:
    """Replace printable ASCII characters by Unicode tag characters, which are invisible."""
    return "".join(chr(0xE0000 + ord(c)) if " " <= c <= "~" else c for c in text)


#: Disguise → replacement for each character; the positions of spans remain known.
BY_CHARACTER: Mapping[str, Callable[[str], str]] = {
    "plain": str,
    "homoglyphs": lambda character: character.translate(CYRILLIC),
    "zero width": lambda character: f"{character}\u200b",
    "soft hyphen": lambda character: f"{character}\u00ad",
    "tag characters between": lambda character: f"{character}\U000e0061",
    "full width": lambda character: chr(0xFEE0 + ord(character)) if "!" <= character <= "~" else character,
    "leet": lambda character: character.translate(LEET),
    "emoji": lambda character: " \U0001f600 " if character == " " else character,
}
#: Encodings of a whole text; spans inside have no positions, so only the flagged share is measured.
CODES: Mapping[str, Callable[[str], str]] = {
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "hexadecimal": lambda text: text.encode().hex(),
    "tag characters": _tagged,
}


def _disguised(text: str, spans: Sequence[Span], disguise: Callable[[str], str]) -> tuple[str, set[int]]:
    """Return the disguised text, and the offsets of its personal characters: all characters of spans except spaces."""
    personal = {index for span in spans for index in range(span.start, span.end) if not text[index].isspace()}
    parts, wanted, length = [disguise(character) for character in text], set[int](), 0
    for index, piece in enumerate(parts):
        if index in personal:
            wanted.add(length)
        length += len(piece)
    return "".join(parts), wanted


def disguised_pii(study: StudyContext) -> list[Row]:
    """Return the shares of personal characters found and of texts flagged, for plain texts and each disguise."""
    detector = load_text("pii")
    every = presidio(study.data / PRESIDIO, is_held_out)
    records = random.Random(study.seed).sample(every, min(TEXTS, len(every)))
    rows: list[Row] = []
    for name, disguise in tracked(study.progress, "pii in disguises", BY_CHARACTER.items()):
        texts, positions = zip(*(_disguised(text, spans, disguise) for text, spans in records), strict=True)
        scores = score_texts(detector, texts)
        found = [{index for span in score.spans for index in range(span.start, span.end)} for score in scores]
        hits = sum(len(marked & wanted) for marked, wanted in zip(found, positions, strict=True))
        rows.append(_row(name, scores) | {"recall": hits / max(1, sum(map(len, positions)))})
    for name, code in tracked(study.progress, "pii in codes", CODES.items()):
        rows.append(_row(name, score_texts(detector, [code(text) for text, _ in records])))
    return rows


def _row(name: str, scores: Sequence[Score]) -> Row:
    flagged = sum(score.flagged for score in scores) / max(1, len(scores))
    return {"detector": "pii", "data": f"personal data, {name}", "texts": len(scores), "flagged": flagged}
