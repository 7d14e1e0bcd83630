"""F19: text that makes regular expressions slow, invisible characters, and deep JSON, against the real patterns."""

import time

from chaos.faults.f09_fuzz import fuzz_event, nested
from chaos.strike import Fault
from detectors.registry import create_text
from stream.wire import WireError, decode, encode

_SIZE = 64 * 1024
_PATTERN_SECONDS = 0.25
_PLAIN = (
    "write to jo.public{}@example.com",
    "my card is 4111 1111 1111 1111, ask {}",
    "call +1 212 555 01{:02d} today",
)
_HIDDEN = ("\u200b", "\u2060", "\ufeff", "\U000e0041")
_PIECES = (
    "www.", "a@", "1", "1 ", "a.", "((((", "0x", "@.", "+1 ", "4111 ", "\u200b", "\u0130", "é", "::", "1.", "-",
)  # fmt: skip
_RECALL_POINTS = 0.02
_TEXTS = 100


class HostileText(Fault):
    """Runs the real ``pii`` patterns over 64 KiB of hostile text and hidden characters, and decodes deep JSON."""

    key = "F19"
    what = "64 KiB of text made for backtracking, invisible characters in personal data, JSON 100,000 deep"
    mutation = "raw-text-alone"
    breaks = ("F19",)
    in_lab = False

    def strike(self, lab, chance, strike):
        detector = create_text("pii", {"entities": False})
        detector.load()
        detector.score_many(["warm"])
        slowest, text = max((_timed(detector, text), text) for text in _hostile(chance))
        texts = [chance.choice(_PLAIN).format(chance.randrange(100)) for _ in range(_TEXTS)]
        plain = _recall(detector, texts)
        hidden = _recall(detector, [_obscured(text, chance) for text in texts])
        strike.how = f"{_SIZE} bytes a text, {_TEXTS} obscured texts"
        strike.effect = f"{plain:.0%} of the plain texts are flagged" if plain else ""
        strike.figures = {"slowest_seconds": round(slowest, 3), "recall_plain": plain, "recall_obscured": hidden}
        slow = f"F19: {text[:20]!r} took {slowest:.2f} s, the bound is {_PATTERN_SECONDS} s"
        strike.require_speed(slowest <= _PATTERN_SECONDS, slow)
        lost = f"F19: {plain:.0%} of the plain texts are flagged, {hidden:.0%} of the obscured ones"
        strike.require(plain - hidden <= _RECALL_POINTS, lost)
        strike.require(_is_rejected(chance), "F19: deep JSON was accepted as an event")


def _hostile(chance):
    mixed = "".join(chance.choice(_PIECES) for _ in range(_SIZE))[:_SIZE]
    return [*(piece * (_SIZE // len(piece)) for piece in _PIECES), mixed, "a" * _SIZE + "@"]


def _timed(detector, text):
    """Return the smallest CPU time of three runs, to exclude delays of the machine."""
    times = []
    for _ in range(3):
        began = time.thread_time()
        detector.score_many([text])
        times.append(time.thread_time() - began)
    return min(times)


def _recall(detector, texts):
    return sum(score.flagged for score in detector.score_many(texts)) / len(texts)


def _obscured(text, chance):
    return "".join(letter + (chance.choice(_HIDDEN) if chance.random() < 0.3 else "") for letter in text)


def _is_rejected(chance):
    """Return whether a request whose unknown field has a depth of 50,000 or more is rejected because of its depth."""
    record = encode(fuzz_event("deep", chance))
    decode(nested(record, 1), record.headers)
    try:
        decode(nested(record, chance.randrange(50_000, 200_000)), record.headers)
    except WireError:
        return True
    return False
