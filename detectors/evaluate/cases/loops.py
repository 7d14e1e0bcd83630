"""Own answers that go round in circles, and the same answers before they do."""

import random
from collections.abc import Iterator

from detectors.evaluate.cases import Case
from detectors.evaluate.cases.passages import PASSAGES

__all__ = ["loop_cases"]

_PHRASES = (
    "and then", "of the", "I hope this helps.", "the best of the best of", "It is important to note that this is important.",
    "Please let me know if you have any questions.", "no, no,", "1.", "- item\n", "\n\n##", "ha", "the answer is the answer is that",
)  # fmt: skip


def loop_cases(seed: int = 0) -> Iterator[Case]:
    """Yield two times twelve answers to each of twelve passages: six that loop in different ways, six that do not."""
    rng = random.Random(seed)  # noqa: S311 - reproducible cases
    for passage in (*PASSAGES, *PASSAGES):
        true = {slot: values[0] for slot, values in passage.slots.items()}
        said = [fact.said.format(**true) for fact in passage.facts]
        other = [fact.paraphrase.format(**true) for fact in passage.facts]
        text, phrase = " ".join(said), rng.choice(_PHRASES)
        looped = {
            "a sentence again and again": text + " " + f"{rng.choice(said)} " * rng.randint(8, 20),
            "a phrase again and again": text + " " + f"{phrase} " * rng.randint(60, 200),
            "the whole answer again": f"{text}\n" * rng.randint(4, 8),
            "a counter": "\n".join(f"{n}. {said[0]} {said[1]}" for n in range(1, rng.randint(30, 60))),
            "half of it": f"{text} {' '.join(other)} " + f"{phrase} " * (60 // len(phrase.split())),
            "two sentences in turn": text + f" {said[0]} {other[1]}" * rng.randint(6, 15),
        }
        plain = {
            "prose": text,
            "said twice": f"{text}\n\nIn other words: {' '.join(other)}",
            "a list": "\n".join(f"- {sentence}" for sentence in (*said, *other)),
            "a table": "| No. | Fact |\n|-----|------|\n" + "\n".join(f"| {n} | {s} |" for n, s in enumerate(said, 1)),
            "code": "\n".join(
                f"    values[{n}] = read(source, {n}, default={n * 2})" for n in range(rng.randint(8, 24))
            ),
            "a refrain": "\n".join(f"{sentence}\nSo it is, so it is, so it is." for sentence in said),
        }
        for positive, cases in ((True, looped), (False, plain)):
            for kind, case in cases.items():
                yield Case(text=case, positive=positive, kind=kind)
