"""A request in view of its system prompt: how near it is to a sentence that keeps something secret.

Nearness is the cosine of the frozen embeddings of the request and of the nearest such sentence, so it needs no training
of the encoder. The constants began as a logistic regression on the training scenarios of ``detectors/train/texts/rules.toml``.
The shift was then lowered by hand, until ordinary requests beside a secret ("how do I reset my password?") were no longer
flagged. Sentences that forbid a subject are not compared: the nearest rule of an allowed request is often the one that
allows it ("only answer questions about banking"). A system prompt without a secret costs nothing.
"""

import re
from collections.abc import Iterable
from functools import lru_cache

from detectors.base import Turn

__all__ = ["conflict_log_odds", "secrets_of"]

#: Most characters of a system prompt that are read, most sentences that are kept, and most characters of a sentence.
READ, KEPT, LONGEST = 16_384, 16, 600
_SYSTEM = frozenset({"system", "developer"})
_SENTENCE = re.compile(r"(?<=[.!?;])\s+|\n+")
_SECRET = re.compile(
    r"(?i)\b(?:secret\w*|passw\w*|passphrase|pass ?code|code ?word|confidential\w*|api[ _-]?key|access (?:key|code)|token|pin"
    r"|geheim\w*|vertraulich\w*|kennwort|secr[eè]te?|mot de passe|secreto|contrase[nñ]a)\b"
)
#: Slope of the request's own log-odds (within -4 to 4), slope of the cosine, and shift.
_OWN, _NEAR, _SHIFT = 0.5, 12.0, -2.6
_BOUND = 4.0


def secrets_of(turns: Iterable[Turn]) -> tuple[str, ...]:
    """Return the sentences about secrets in the system messages among ``turns``; at most the first `KEPT`."""
    return _secrets("\n".join(turn.content for turn in turns if turn.role in _SYSTEM)[:READ])


@lru_cache(maxsize=256)
def _secrets(system: str) -> tuple[str, ...]:
    sentences = (sentence.strip()[:LONGEST] for sentence in _SENTENCE.split(system))
    return tuple([sentence for sentence in sentences if _SECRET.search(sentence)][:KEPT])


def conflict_log_odds(own: float, cosine: float) -> float:
    """Return the log-odds that a request asks for a secret.

    ``own`` is the log-odds of the request alone, and ``cosine`` its cosine with the nearest sentence about a secret.
    """
    return _OWN * min(_BOUND, max(-_BOUND, own)) + _NEAR * cosine + _SHIFT
