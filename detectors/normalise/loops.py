"""Loops: phrases that are repeated without a break, as language models write them when they get stuck."""

import re

#: Maximum number of words of the phrase, and minimum number of its copies.
PERIOD, COPIES = 40, 4
_WORD = re.compile(r"\S+")


def without_loops(text: str) -> str:
    """Return the text with less than two copies of each phrase that is repeated at least `COPIES` times in a row, in linear time.

    A classifier of words counts each copy as new evidence, so a harmless word that is repeated a hundred times would have an extreme score.
    Only whole copies of the words before them are removed, so every word stays.
    """
    repeated = _repeated(text.split())
    if not repeated:
        return text
    starts = [match.start() for match in _WORD.finditer(text)] + [len(text)]
    parts, done = [], 0
    for begin, end in repeated:
        parts.append(text[done : starts[begin]])
        done = starts[end]
    return "".join(parts) + text[done:]


def _repeated(words: list[str]) -> list[tuple[int, int]]:
    """Return the ranges of words that are whole copies of the words before them, in order.

    The candidate for the period is the distance to the last equal word. It stays as long as each word equals the word one period earlier.
    """
    found: list[tuple[int, int]] = []
    last: dict[str, int] = {}
    period = run = 0
    for at, word in enumerate([*words, ""]):
        if period and words[at - period] == word:
            run += 1
        else:
            if period and run >= (COPIES - 1) * period:
                found.append((at - run, at - run % period))
            distance = at - last.get(word, at)
            period, run = (distance if distance <= PERIOD else 0), 1
        last[word] = at
    return found
