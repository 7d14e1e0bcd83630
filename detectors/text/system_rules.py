"""A request in view of its system prompt: how near it is to a sentence that forbids something or keeps something secret.

Nearness is the cosine of the frozen embeddings of the request and of the nearest such sentence, so it needs no training
of the encoder. The constants are a logistic regression on the training scenarios of ``detectors/train/texts/rules.toml``,
shifted so that the threshold of `detectors.text.injection` flags at most 1 % of the allowed requests of the other
scenarios. A system prompt without such a sentence costs nothing.
"""

import re
from collections.abc import Iterable
from functools import lru_cache

from detectors.base import Turn

__all__ = ["Rules", "conflict_log_odds", "rules_of"]

#: Most characters of a system prompt that are read, most sentences that are kept, and most characters of a sentence.
READ, KEPT, LONGEST = 16_384, 16, 600
_SYSTEM = frozenset({"system", "developer"})
_SENTENCE = re.compile(r"(?<=[.!?;])\s+|\n+")
_RULE = re.compile(
    r"(?i)\b(?:never|not|cannot|can['\u2019]t|don['\u2019]t|mustn['\u2019]t|only|must|secret\w*|passw\w*|passphrase|pass ?code|code ?word"
    r"|confidential\w*|private\w*|internal\w*|forbid\w*|prohibit\w*|refus\w+|declin\w+|reject\w*|avoid\w*|off[- ]limits|restrict\w*"
    r"|nothing else|no|except|unless|without|stay in|in character|api[ _-]?key|access key|token|pin|guard\w*|protect\w*|hidden"
    r"|nie|niemals|nicht|nur|kein\w*|geheim\w*|vertraulich\w*|passwort|kennwort|jamais|ne|pas|uniquement|secr[eè]t\w*|mot de passe"
    r"|nunca|solo|s[oó]lo|secreto|contrase[nñ]a|clave)\b"
)
_SECRET = re.compile(
    r"(?i)\b(?:secret\w*|passw\w*|passphrase|pass ?code|code ?word|confidential\w*|api[ _-]?key|access (?:key|code)|token|pin"
    r"|geheim\w*|vertraulich\w*|kennwort|secr[eè]te?|mot de passe|secreto|contrase[nñ]a)\b"
)
#: Slope of the request's own log-odds (within -4 to 4), slope of the cosine, and shift: with and without a secret.
_WITH_SECRET, _WITHOUT = (0.5, 12.0, -1.0), (0.0, 10.5, -1.5)
_BOUND = 4.0


class Rules(tuple[str, ...]):
    """The sentences of a system prompt that forbid something or keep something secret."""

    __slots__ = ()

    @property
    def keep_a_secret(self) -> bool:
        """Whether a sentence mentions a secret."""
        return any(_SECRET.search(sentence) for sentence in self)


def rules_of(turns: Iterable[Turn]) -> Rules:
    """Return the rules in the system messages among ``turns``, the newest last; at most `KEPT` sentences."""
    return _rules("\n".join(turn.content for turn in turns if turn.role in _SYSTEM)[:READ])


@lru_cache(maxsize=256)
def _rules(system: str) -> Rules:
    sentences = (sentence.strip()[:LONGEST] for sentence in _SENTENCE.split(system))
    return Rules([sentence for sentence in sentences if _RULE.search(sentence)][:KEPT])


def conflict_log_odds(own: float, cosine: float, *, secret: bool) -> float:
    """Return the log-odds that a request asks for what a rule forbids.

    ``own`` is the log-odds of the request alone, and ``cosine`` its cosine with the nearest rule.
    """
    alone, near, shift = _WITH_SECRET if secret else _WITHOUT
    return alone * min(_BOUND, max(-_BOUND, own)) + near * cosine + shift
