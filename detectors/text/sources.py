"""The sentences of a prompt that can support an answer: tool results and passages, without the instruction around them.

A whole tool result is a source. In the messages of the user and the operator, sentences are passages if a message announces a
text ("the following article", "Context:"), except questions and orders at both ends. In a user's message, a long separate
paragraph is a passage, too. The model's own messages are not a source.
"""

import re
from bisect import bisect
from collections.abc import Sequence

import msgspec

from detectors.base import Turn
from detectors.text.claims import Claim, claim_of, claims

#: Minimum number of sentences of a paragraph that counts as a passage although no word announces it.
_PARAGRAPH_SENTENCES = 3
_QUESTION = re.compile(r"\?[\"'”’)\]]*\s*$")  # noqa: RUF001 - both quotation marks
_ORDER = re.compile(
    r"\W*(?:please|answer|summari[sz]e|write|read|extract|explain|describe|generate|choose|select|pick|tell|find|give|"
    r"list|identify|use|create|produce|provide|do not|don't|reply|respond|note that|determine|decide|return|output|"
    r"rewrite|translate|compare|classify|condense|imagine|"
    r"(?:can|could|would) you|you (?:are|should|must|will|can)|i (?:want|need|would|am|know) (?:you|a|to|that|like)|"
    r"given (?:the|this|that)|based on (?:the|this|these)|after reading|in \w+ (?:or \w+ )?(?:sentence|word|line))\b",
    re.IGNORECASE,
)
_TASK = re.compile(
    r"\bplease\b|\b(?:the|this|following|my) question\b|\byour (?:answer|response|reply)\b", re.IGNORECASE
)
_TEXT_NOUN = (
    r"(?:passage|article|text|context|document|paragraph|dialog(?:ue)?|conversation|plot|story|bio|facts?|information|"
    r"excerpt|report|review|e-?mail|transcript|bullet points?|background|source|notes?|sentence|page)s?"
)
_MARKER = re.compile(
    rf"\b(?:(?:this|these|following|above|below|given|preceding)\s(?:[\w-]+\s){{0,2}}{_TEXT_NOUN}|"
    rf"{_TEXT_NOUN}(?:\s(?:below|above)|\s?\d*\s*:)|according to the {_TEXT_NOUN}|"
    rf"(?:based on|in|from|about|of|reading|read) the {_TEXT_NOUN}|summar(?:y|i[sz])\w*|tl;?dr|in a nutshell|means the same)",
    re.IGNORECASE,
)
#: Roles without passages: the model's messages are not a source, and a tool result is a source as a whole.
_NO_PASSAGES = frozenset({"assistant", "tool"})
_BLOCK = re.compile(r"\n\s*\n")


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """A sentence of a prompt, and the index of its message."""

    turn: int
    claim: Claim


def sources(turns: Sequence[Turn], most: int) -> tuple[list[Source], list[Claim]]:
    """Return the sentences that can support an answer, at most ``most``, and all sentences of the user's messages that were read.

    The newest messages are read first.
    """
    found: list[Source] = []
    said: list[Claim] = []
    marked = any(_MARKER.search(turn.content) for turn in turns if turn.role not in _NO_PASSAGES)
    for index in range(len(turns) - 1, -1, -1):
        turn = turns[index]
        if turn.role == "assistant" or len(found) >= most:
            continue
        sentences, _ = claims(turn.content, most - len(found))
        kept = sentences if turn.role == "tool" else _passages(turn, sentences, marked=marked)
        found += [Source(turn=index, claim=claim) for claim in kept]
        said += sentences if turn.role == "user" else []
    return found, said


def _passages(turn: Turn, sentences: Sequence[Claim], *, marked: bool) -> list[Claim]:
    """Return the sentences without the orders and questions at both ends; without a marker, only a user's long paragraphs."""
    kept = [_without_order(sentence) for sentence in sentences]
    ends = [row for row, one in enumerate(kept) if one is not None]
    if not ends or not (marked or turn.role == "user"):
        return []
    inside = range(ends[0], ends[-1])
    passage = [one or sentences[row] for row, one in enumerate(kept) if one is not None or row in inside]
    if marked:
        return passage
    blocks = [match.start() for match in _BLOCK.finditer(turn.content)]
    of_block: dict[int, list[Claim]] = {}
    for claim in passage if blocks else ():
        of_block.setdefault(bisect(blocks, claim.start), []).append(claim)
    return [claim for block in of_block.values() if len(block) >= _PARAGRAPH_SENTENCES for claim in block]


def _without_order(claim: Claim) -> Claim | None:
    """Return a sentence without the order before its colon; None if nothing else is in it."""
    text = claim.text
    if _QUESTION.search(text) or _TASK.search(text):
        return None
    if not _ORDER.match(text):
        return claim if not text.endswith(":") else None
    begin = text.find(": ") + 2
    return claim_of(text[begin:], claim.start + begin) if begin > 1 and len(text) - begin >= 30 else None
