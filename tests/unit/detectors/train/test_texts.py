"""Own training texts: each split has its own wordings, and none of them is a case that judges."""

import random
import re
from collections import defaultdict
from itertools import islice

import pytest

from detectors.evaluate.cases.identities import identity_cases
from detectors.evaluate.cases.refusals import refusal_cases
from detectors.train import declining, planted, retorts
from detectors.train.datasets import refreshed
from detectors.train.example import Example, labels
from detectors.train.own_texts import own_examples
from detectors.train.phrases import PARTS, fill, items, noisy, part

NEWER = {"own_declining", "own_helping", "own_planted", "own_carried", "own_retort", "own_pictured"}
POOLS = [
    declining.DECLINES, declining.HELPS, planted.GOALS, planted.VOICES, planted.FOREIGN, planted.FOREIGN_BENIGN, planted.TO_PEOPLE,
    planted.PLACES, retorts.TOXIC, retorts.HARMLESS, retorts.PICTURED_TOXIC, retorts.PICTURED_HARMLESS,
]  # fmt: skip


@pytest.fixture(scope="module")
def own():
    return list(own_examples())


@pytest.mark.parametrize("pool", POOLS)
def test_every_template_is_of_one_split(pool):
    parts = [part(pool, split) for split in PARTS]
    assert all(parts)
    assert sorted(line for found in parts for line in found) == sorted(items(pool))
    assert len(set(items(pool))) == len(items(pool))


def _trigrams(text):
    words = re.findall(r"\w+", text.lower().replace("\u2019", "'"))
    return frozenset(tuple(words[at : at + 3]) for at in range(max(1, len(words) - 2)))


def _near(texts, judges):
    """Return the pairs whose word trigrams agree by four in ten or more (Jaccard)."""
    of = defaultdict(set)
    for judge in judges:
        for gram in _trigrams(judge):
            of[gram].add(judge)
    pairs = []
    for text in texts:
        grams = _trigrams(text)
        for judge in set().union(*(of.get(gram, ()) for gram in grams)):
            other = _trigrams(judge)
            if len(grams & other) >= 0.4 * len(grams | other):
                pairs.append((text, judge))
    return pairs


def test_no_newer_text_is_one_that_judges(own):
    judges = [case.text for case in (*refusal_cases(), *identity_cases())]
    assert _near([example.text for example in own if example.source in NEWER], judges) == []
    # The same comparison does find copies, whatever their case and marks.
    assert _near([judges[0].lower().replace(",", "") + " Bye."], judges)


def test_texts_are_whole_and_of_both_labels(own):
    for source in NEWER:
        for split in PARTS:
            texts = [example.text for example in own if (example.source, example.split) == (source, split)]
            assert len(texts) > 100
            assert not [text for text in texts if re.search(r"\{[A-Za-z]+\}|\\n|^\s*$", text)]
    assert {example.labels[2] for example in own if example.source in {"own_declining", "own_helping"}} == {0.0, 1.0}
    assert {example.labels[1] for example in own if example.source in {"own_planted", "own_carried"}} == {0.0, 1.0}
    for source in ("own_retort", "own_pictured"):
        toxic = [example.labels[0] for example in own if example.source == source and example.split == "train"]
        assert 0.4 < sum(toxic) / len(toxic) < 0.6


def test_a_seed_gives_the_same_texts():
    for make in (declining.declining, declining.helping, planted.planted, planted.carried, retorts.retorts):
        one, same, other = (list(islice(make(30, seed, "tune"), 30)) for seed in (5, 5, 6))
        assert one == same != other


def test_slots_keep_their_case_and_ask_for_no_more():
    rng = random.Random(0)
    slots = {"thing": ["tea"], "P": ["gay people"]}
    assert fill("{Thing}, {thing} and {P}\\n{{x}}", slots, rng) == "Tea, tea and gay people\n{x}"
    assert {noisy("It's so.", random.Random(seed)) for seed in range(60)} == {
        "It's so.", "it's so.", "It's so", "It\u2019s so.", "Its so.",
    }  # fmt: skip


def test_a_run_that_goes_on_draws_each_source_by_its_share(monkeypatch):
    monkeypatch.setattr("detectors.train.datasets.REFRESH", {"clinc": 0.4, "hatemojibuild": 2.0})
    texts = [
        Example(f"{source} {n}", labels(0.0), 1.0, source)
        for source in ("clinc", "hatemojibuild", "own_retort")
        for n in range(500)
    ]
    drawn = refreshed(texts, seed=1)
    assert drawn == refreshed(texts, seed=1) != refreshed(texts, seed=2)
    counts = {source: sum(e.source == source for e in drawn) for source in ("clinc", "hatemojibuild", "own_retort")}
    assert counts["hatemojibuild"] == 1000
    assert counts["own_retort"] == 500
    assert 150 < counts["clinc"] < 250
