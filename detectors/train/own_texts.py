"""Own texts of this project with their labels, by split."""

import random
from collections.abc import Iterable, Iterator

from detectors.train import abuse, attacks, contrast, declining, planted, refusals, retorts
from detectors.train.example import UNKNOWN, Example, Labels, labels

__all__ = ["own_examples"]

PERSONAL = """
My name is {first} {last}, my phone number is {phone}.|Please send the invoice to {first}.{last}@example.com|Hi, I am {first} {last} from {city}.
Charge my card 4111 1111 1111 1111 please.|My SSN is 536-90-4399, can you fill in the form?|Write a letter to {first} {last} in {city}.
Call me at {phone} about the order.|My IBAN is DE89370400440532013000, is it valid?|Draft an email to {first} about the meeting in {city}.
Could you update my address to 12 Oak Street, {city}?|{first} {last} wants to travel to {city}. Plan three days.|What time is it in {city}?
Please write a Python function that sorts a list.|Fix this bug: TypeError in line 12 of main.py.|Explain recursion with an example in {lang}.
How do I write a unit test in {lang}?|Refactor this {lang} class into two.|Why does my {lang} program leak memory?|Write a poem about {city}.
""".strip()


def _personal(count: int, seed: int) -> Iterator[str]:
    rng = random.Random(seed)  # noqa: S311 - reproducible text, not secrets
    templates = [item for line in PERSONAL.splitlines() for item in line.split("|")]
    slots = {
        "first": [
            "Anna",
            "Peter",
            "Maria",
            "John",
            "Yuki",
            "Omar",
            "Priya",
            "Luis",
            "Ingrid",
            "Kofi",
            "Chen",
            "Fatima",
        ],
        "last": [
            "Keller",
            "Novak",
            "Silva",
            "Johnson",
            "Tanaka",
            "Hassan",
            "Patel",
            "Garcia",
            "Olsen",
            "Mensah",
            "Li",
            "Demir",
        ],
        "city": ["Berlin", "Lagos", "Lima", "Osaka", "Oslo", "Mumbai", "Boston", "Cairo", "Lyon", "Perth"],
        "phone": ["555-0134", "+44 20 7946 0958", "(212) 555-0187", "030 1234567"],
        "lang": ["Python", "Java", "Rust", "Go", "SQL", "TypeScript"],
    }
    for _ in range(count):
        yield rng.choice(templates).format(**{name: rng.choice(values) for name, values in slots.items()})


def own_examples() -> Iterator[Example]:
    """Yield all own texts with their labels and splits; the newer kinds, and contrast, have wordings of their own in each split."""
    for seed in (1, 2, 3):  # one seed a split, so that the test phrases are drawn apart from the training ones
        share = {1: 1.0, 2: 0.1, 3: 0.1}[seed]
        split = {1: "train", 2: "tune", 3: "test"}[seed]
        generators: list[tuple[str, Iterable[str], Labels]] = [
            ("own_attack", attacks.attacks(int(3600 * share), seed), labels(UNKNOWN, 1.0)),
            ("own_twin", attacks.twins(int(3600 * share), seed), labels(0.0)),
            ("own_extraction", attacks.extractions(int(700 * share), seed), labels(UNKNOWN, 1.0)),
            ("own_follow_up", attacks.follow_ups(int(1200 * share), seed), labels(0.0)),
            ("own_long", attacks.long_prompts(int(500 * share), seed), labels(0.0)),
            ("own_refusal", refusals.refusals(int(1200 * share), seed), labels(0.0, 0.0, 1.0)),
            ("own_comply", refusals.complies(int(1200 * share), seed), labels(0.0)),
            ("own_abuse", abuse.abuse(int(1000 * share), seed), labels(1.0)),
            ("own_harmless", abuse.harmless(int(1300 * share), seed), labels(0.0)),
            ("own_personal", _personal(int(400 * share), seed), labels(0.0)),
            ("own_declining", declining.declining(int(2600 * share), seed, split), labels(0.0, 0.0, 1.0)),
            ("own_helping", declining.helping(int(2600 * share), seed, split), labels(0.0)),
            ("own_planted", planted.planted(int(3000 * share), seed, split), labels(UNKNOWN, 1.0)),
            ("own_carried", planted.carried(int(3000 * share), seed, split), labels(0.0)),
        ]
        for source, texts, known in generators:
            yield from (Example(text, known, 1.0, source, split) for text in dict.fromkeys(texts))
        for text, kind, toxic in dict.fromkeys(contrast.contrast(int(5000 * share), seed, split)):
            yield Example(text, labels(toxic, **{kind: toxic}), 1.0, "own_contrast", split)
        for text, toxic, pictured in dict.fromkeys(retorts.retorts(int(4000 * share), seed, split)):
            yield Example(text, labels(toxic), 1.0, "own_pictured" if pictured else "own_retort", split)
