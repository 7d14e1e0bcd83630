"""F19: text that is made to be slow, deep or unseen, against the real patterns."""

import random
import time
from typing import Any, ClassVar

from chaos.strike import Fault, Lab, Strike
from detectors.registry import create_text
from stream.wire import RequestRecord, WireError, decode

__all__ = ["HostileText", "strike"]

_SIZE = 64 * 1024
_PATTERN_SECONDS = 0.25
_PLAIN = (
    "write to jo.public{}@example.com",
    "my card is 4111 1111 1111 1111, ask {}",
    "call +1 212 555 01{:02d} today",
)
_HIDDEN = ("\u200b", "\u2060", "\ufeff", "\U000e0041")
_RECALL_POINTS = 0.02
_TEXTS = 100


class HostileText(Fault):
    """One process a strike: the real ``pii`` patterns over 64 KiB of hostile text, hidden characters, and deep JSON."""

    key: ClassVar[str] = "F19"
    what: ClassVar[str] = (
        "64 KiB of text made for backtracking, invisible characters in personal data, JSON 100,000 deep"
    )
    mutation: ClassVar[str] = "raw-text-alone"
    breaks: ClassVar[tuple[str, ...]] = ("F19",)
    in_lab: ClassVar[bool] = False
    name: ClassVar[str] = "hostile-text"

    def strike(self, lab: Lab, chance: random.Random, strike: Strike) -> None:
        """Not in a lab: see :func:`strike`."""
        raise NotImplementedError


def strike(seed: str) -> dict[str, Any]:
    """Score hostile texts with the patterns of ``pii``."""
    chance = random.Random(seed)
    detector = create_text("pii", {"entities": False})
    detector.load()
    detector.score_many(["warm"])
    slowest, text = max((_timed(detector, text), text) for text in _hostile(chance))
    texts = [chance.choice(_PLAIN).format(chance.randrange(100)) for _ in range(_TEXTS)]
    plain = sum(score.flagged for score in detector.score_many(texts)) / _TEXTS
    hidden = sum(score.flagged for score in detector.score_many([_obscured(one, chance) for one in texts])) / _TEXTS
    wrong = []
    if slowest > _PATTERN_SECONDS:
        wrong.append(f"F19: {text[:20]!r} took {slowest:.2f} s, {_PATTERN_SECONDS} s is the bound")
    if plain - hidden > _RECALL_POINTS:
        wrong.append(f"F19: {plain:.0%} of the plain texts are flagged, {hidden:.0%} of the obscured ones")
    if not _deep(chance):
        wrong.append("F19: deep JSON was taken for an event")
    return {
        "how": f"{_SIZE} bytes a text, {_TEXTS} obscured texts",
        "bit": f"{plain:.0%} of the plain texts are flagged" if plain else "",
        "figures": {"slowest_seconds": round(slowest, 3), "recall_plain": plain, "recall_obscured": hidden},
        "violations": wrong,
    }


def _hostile(chance: random.Random) -> list[str]:
    pieces = (
        "www.",
        "a@",
        "1",
        "1 ",
        "a.",
        "((((",
        "0x",
        "@.",
        "+1 ",
        "4111 ",
        "\u200b",
        "\u0130",
        "é",
        "::",
        "1.",
        "-",
    )
    mixed = "".join(chance.choice(pieces) for _ in range(_SIZE))[:_SIZE]
    return [*(piece * (_SIZE // len(piece)) for piece in pieces), mixed, "a" * _SIZE + "@"]


def _timed(detector: Any, text: str) -> float:
    best = float("inf")
    for _ in range(3):  # the machine's own stalls are not the text's
        began = time.process_time()
        detector.score_many([text])
        best = min(best, time.process_time() - began)
    return best


def _obscured(text: str, chance: random.Random) -> str:
    return "".join(letter + (chance.choice(_HIDDEN) if chance.random() < 0.3 else "") for letter in text)


def _deep(chance: random.Random) -> bool:
    depth = chance.randrange(50_000, 200_000)
    headers = [("ce_specversion", b"1.0"), ("ce_type", RequestRecord.event_type.encode()), ("ce_id", b"1")]
    try:
        decode(b'{"parameters":' + b'{"a":' * depth, headers)
    except WireError:
        return True
    return False
