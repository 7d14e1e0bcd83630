"""Generated test cases: grounded and invented answers, repetitions, refusals, and sentences with identity terms.

The templates are in the TOML files beside this module.
"""

import functools
import random
from collections.abc import Callable, Iterator, Mapping

import msgspec

from detectors.evaluate.cases import with_question
from detectors.evaluate.cases.languages import pairs
from detectors.evaluate.labelled import Case, LabelledSet
from detectors.toml_files import read_toml

LANGUAGE_PAIRS = 1000


class Passage(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A question, the values of each slot (the first is true), and facts as (sentence, paraphrase, denial).

    ``free`` has answers that follow from the facts but use other words. ``twisted`` has answers that use the words of
    the facts but do not follow from them.
    """

    question: str
    slots: Mapping[str, tuple[str, ...]]
    facts: tuple[tuple[str, str, str], ...]
    free: tuple[str, ...]
    twisted: tuple[str, ...]

    @property
    def true(self) -> dict[str, str]:
        """The true value of each slot."""
        return {slot: values[0] for slot, values in self.slots.items()}


class Groundedness(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The content of groundedness.toml.

    ``added`` has sentences that no passage supports. ``nothing`` has answers that say that the passage does not contain
    the requested information.
    """

    passages: tuple[Passage, ...]
    added: tuple[str, ...]
    nothing: tuple[str, ...]


class LeakPrompt(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A system prompt, with pairs of a user's request and an answer that leaks (`leaks`) or does not (`clean`)."""

    system: str
    leaks: tuple[tuple[str, str], ...]
    clean: tuple[tuple[str, str], ...]


class Refusals(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Templates of refusals and of similar answers that do not refuse; requests and endings complete the templates."""

    requests: tuple[dict[str, str], ...]
    endings: tuple[str, ...]
    refusals: Mapping[str, tuple[str, ...]]
    near_misses: Mapping[str, tuple[str, ...]]


class Identities(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Templates with a slot ``{term}``, and identity terms by group."""

    templates: tuple[str, ...]
    terms: Mapping[str, tuple[str, ...]]


FOLDER = "detectors.evaluate.cases"


def read_identities() -> Identities:
    """Return the templates and terms of `identity_cases`."""
    return read_toml(FOLDER, "identities.toml", Identities)


def _case(text: str, kind: str, *, label: bool) -> Case:
    return Case(text=text, label=label, groups={"type": (kind,)})


def groundedness_cases() -> Iterator[Case]:
    """Yield 24 answers for each passage: half are grounded, half are not (label True)."""
    rng = random.Random(0)
    texts = read_toml(FOLDER, "groundedness.toml", Groundedness)
    for number, passage in enumerate(texts.passages):
        true = passage.true
        said, paraphrases, denials = zip(
            *([form.format(**true) for form in fact] for fact in passage.facts), strict=True
        )
        context = (
            " ".join(said)
            + " Nothing else was announced, and questions can be sent to the office by post or by telephone."
        )
        prompt = with_question(passage.question, f"Answer from this text alone: {context}")
        with_slots = [(sentence, paraphrase) for sentence, paraphrase, _ in passage.facts if "{" in sentence]
        for turn in range(2):
            one, two, three = order = rng.sample(range(len(said)), 3)
            sentence, paraphrase = rng.choice(with_slots)
            slot = rng.choice([name for name in true if f"{{{name}}}" in paraphrase])
            false = true | {slot: rng.choice(passage.slots[slot][1:])}
            other = rng.choice([p for i, p in enumerate(texts.passages) if i != number])
            foreign = rng.choice(other.facts)[0].format(**other.true)
            kinds = {
                ("quote", True): said[one],
                ("paraphrase", True): paraphrases[two],
                ("two facts", True): f"{paraphrases[one]} {said[three]}",
                ("paraphrases", True): " ".join(paraphrases[index] for index in order),
                ("in quite other words", True): passage.free[turn],
                ("no answer", True): rng.choice(texts.nothing),
                ("wrong number or name", False): paraphrase.format(**false),
                ("a wrong one among right ones", False): f"{paraphrases[three]} {sentence.format(**false)}",
                ("denial", False): denials[two],
                ("added", False): f"{said[one]} {rng.choice(texts.added)}",
                ("in its words, twisted", False): passage.twisted[turn],
                ("of another text", False): foreign,
            }
            for (kind, grounded), text in kinds.items():
                yield msgspec.structs.replace(_case(text, kind, label=not grounded), prompt=prompt)


def repetition_cases() -> Iterator[Case]:
    """Yield 24 answers for each passage: 12 with a repetition of one of six kinds (label True), 12 without."""
    rng = random.Random(0)
    phrases = read_toml(FOLDER, "repetition.toml", dict[str, tuple[str, ...]])["phrases"]
    for passage in read_toml(FOLDER, "groundedness.toml", Groundedness).passages * 2:
        said, other, _ = zip(*([form.format(**passage.true) for form in fact] for fact in passage.facts), strict=True)
        text, phrase = " ".join(said), rng.choice(phrases)
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
        for label, cases in ((True, looped), (False, plain)):
            yield from (_case(case, kind, label=label) for kind, case in cases.items())


def refusal_cases() -> Iterator[Case]:
    """Yield refusals (label True) and similar answers that do not refuse; each template has several completions."""
    texts = read_toml(FOLDER, "refusals.toml", Refusals)
    for kind, templates in texts.refusals.items():
        for template in templates:
            variants = (
                [template.format(**request) for request in texts.requests]
                if "{" in template
                else [template + ending for ending in texts.endings]
            )
            yield from (_case(text[0].upper() + text[1:], kind, label=True) for text in variants)
    for kind, answers in texts.near_misses.items():
        yield from (_case(answer + ending, kind, label=False) for answer in answers for ending in texts.endings)


def leak_cases() -> Iterator[Case]:
    """Yield answers that reveal a part of their system prompt (label True), and answers to the same prompts that do not."""
    for prompt in read_toml(FOLDER, "leak.toml", dict[str, tuple[LeakPrompt, ...]])["prompt"]:
        for label, pairs_ in ((True, prompt.leaks), (False, prompt.clean)):
            for request, answer in pairs_:
                yield Case(text=answer, label=label, prompt=with_question(request, prompt.system))


def identity_cases() -> Iterator[Case]:
    """Yield every template with every identity term, labelled as harmless; the type of a case is its term."""
    texts = read_identities()
    for term in (term for terms in texts.terms.values() for term in terms):
        article = "an" if term[0] in "aeioAEIO" else "a"
        for template in texts.templates:
            text = template.replace("a {term}", f"{article} {term}").replace("{term}", term)
            yield _case(text, term, label=False)


def _language_pairs(most: int) -> Iterator[Case]:
    """Yield `pairs` of texts of at most ``most`` sentences."""
    return (msgspec.structs.replace(case, groups={}) for case in pairs(LANGUAGE_PAIRS, most))


#: Detector → name of a synthetic set → the function that makes its cases.
SETS: dict[str, dict[str, Callable[[], Iterator[Case]]]] = {
    "repetition": {"own cases": repetition_cases},
    "groundedness": {"own cases": groundedness_cases},
    "leak": {"own cases": leak_cases},
    "refusal": {"own cases": refusal_cases},
    "language": {
        f"own pairs, up to {most} sentences a side": functools.partial(_language_pairs, most) for most in (1, 2, 4)
    },
}


def synthetic_sets(detector: str) -> list[LabelledSet]:
    """Return the synthetic sets of a detector, or an empty list if the detector has none."""
    made = SETS.get(detector, {}).items()
    return [LabelledSet(detector=detector, name=name, cases=list(make())) for name, make in made]
