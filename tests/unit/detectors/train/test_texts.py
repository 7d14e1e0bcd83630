"""Synthetic training texts: each split has its own templates, and no text is a test case."""

import os
import random
import re
import subprocess
import sys
from collections import defaultdict
from importlib.resources import files

import pytest

from detectors.base import Turn
from detectors.evaluate.cases.synthetic import identity_cases, refusal_cases
from detectors.evaluate.examples import Example, labels
from detectors.models.term_model import load_secrets
from detectors.models.weight_files import WeightFile
from detectors.text.system_rules import guards_secret
from detectors.train import injection_texts, secrets_trainer, toxicity_texts
from detectors.train.mixes import sample_mixture
from detectors.train.secrets_trainer import system_prompts
from detectors.train.synthetic_examples import BY_SPLIT, synthetic_examples
from detectors.train.templates import PARTS, fill, of_split, read_source, varied
from detectors.train.written_texts import written_examples

NAMES = sorted(
    path.name.removesuffix(".toml")
    for path in files("detectors.train").joinpath("texts").iterdir()
    if path.name.endswith(".toml")
)
POOLS = [(name, pool) for name in NAMES for pool in read_source(name).by_split]
OWN_WORDINGS = {source for source, *_ in BY_SPLIT} | {"own_retort", "own_pictured"}


@pytest.fixture(scope="module")
def examples():
    return list(synthetic_examples())


@pytest.mark.parametrize(("name", "pool"), POOLS)
def test_every_template_is_of_one_split(name, pool):
    templates = read_source(name).by_split[pool]
    parts = [of_split(templates, split) for split in PARTS]
    assert sorted(line for found in parts for line in found) == sorted(templates)
    assert len(set(templates)) == len(templates)


@pytest.mark.parametrize("name", NAMES)
def test_slots_have_words_and_templates_are_not_empty(name):
    source = read_source(name)
    assert all(len(words) > 1 for words in (*source.slots.values(), *source.words.values()))
    assert all(text.strip() for texts in source.by_split.values() for text in texts)


def _trigrams(text):
    words = re.findall(r"\w+", text.lower().replace("\u2019", "'"))
    return frozenset(tuple(words[at : at + 3]) for at in range(max(1, len(words) - 2)))


def _near(texts, cases):
    """Return the pairs of texts whose word trigrams have a Jaccard similarity of at least 0.4."""
    of = defaultdict(set)
    for case in cases:
        for gram in _trigrams(case):
            of[gram].add(case)
    pairs = []
    for text in texts:
        grams = _trigrams(text)
        for case in set().union(*(of.get(gram, ()) for gram in grams)):
            other = _trigrams(case)
            if len(grams & other) >= 0.4 * len(grams | other):
                pairs.append((text, case))
    return pairs


def _bare(text):
    return re.sub(r"\W+", " ", text).lower()


def test_no_training_text_is_a_test_case(examples):
    cases = [case.text for case in (*refusal_cases(), *identity_cases())]
    written = [example.text for example in written_examples()]
    long = [case for case in cases if len(case.split()) > 4]  # "Can't do that." is in many texts
    assert _near([*written, *(example.text for example in examples if example.source in OWN_WORDINGS)], long) == []
    assert {_bare(text) for text in (*written, *(example.text for example in examples))}.isdisjoint(map(_bare, cases))
    # The same comparison finds copies with other case and punctuation.
    assert _near([cases[0].lower().replace(",", "") + " Bye."], cases)


def test_texts_are_complete_and_of_both_labels(examples):
    for source in OWN_WORDINGS:
        for split in PARTS:
            texts = [example.text for example in examples if (example.source, example.split) == (source, split)]
            assert len(texts) > 15
            assert not [text for text in texts if re.search(r"\{[A-Za-z]+\}|\\n|^\s*$", text)]
    planted = [example for example in examples if example.source in {"own_planted", "own_carried"}]
    assert {example.labels[1] for example in planted} == {0.0, 1.0}
    for source in ("own_retort", "own_pictured"):
        toxic = [example.labels[0] for example in examples if example.source == source and example.split == "train"]
        assert 0.4 < sum(toxic) / len(toxic) < 0.6


def test_written_texts_are_of_both_labels_and_the_tune_split_has_texts_of_its_own():
    found = list(written_examples())
    assert len({example.text for example in found}) == len(found)
    for split in ("train", "tune"):
        for task in range(3):
            texts = [example for example in found if example.split == split and example.labels[task] in (0, 1)]
            assert {example.labels[task] for example in texts} == {0.0, 1.0}
            assert len(texts) > 300


@pytest.mark.parametrize(
    "make",
    [
        injection_texts.planted,
        injection_texts.planted_benign,
        toxicity_texts.retort,
    ],
)
def test_a_seed_determines_the_texts(make):
    one, same, other = ([make(rng, "tune") for _ in range(30)] for rng in map(random.Random, (5, 5, 6)))
    assert one == same != other


def test_secrets_of_system_prompts_are_recognised_in_prompts_of_other_authors():
    shares = {
        kind: sum(guards_secret((Turn(role="system", content=text),)) for text in texts) / len(texts)
        for kind, texts in system_prompts("second").items()
    }
    assert min(shares["secret"], shares["short_secret"], shares["guarded"]) > 0.8
    assert max(shares["plain"], shares["short_plain"], shares["conceal"]) < 0.2


def test_the_shipped_model_of_secrets_is_the_one_that_its_trainer_writes(tmp_path):
    out, log = tmp_path / "secrets.safetensors", []
    secrets_trainer.train(out, log=log.append)
    shipped, made = load_secrets(), load_secrets(WeightFile.own(out))
    for texts in system_prompts("second").values():
        for text in texts:
            assert made.log_odds(text) == pytest.approx(shipped.log_odds(text), abs=0.02)
    assert "secret: 36 of 40" in "\n".join(log)


def test_values_of_pii_are_the_same_in_every_process():
    script = (
        "from detectors.train import pii_slots; pii_slots.POOL = 20; slots = pii_slots.Slots(0); slots._locale = 'it_IT'; "
        "print([slots.fill(slot) for slot in slots.table for _ in range(3)])"
    )
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", script], env=os.environ | {"PYTHONHASHSEED": seed}, stdout=subprocess.PIPE
        )
        for seed in "12"
    ]
    one, other = (process.communicate()[0] for process in processes)
    assert one == other != b""


def test_a_slot_with_a_capital_gets_a_capitalised_word():
    slots = {"thing": ["tea"], "P": ["gay people"]}
    assert fill("{Thing}, {thing} and {P}\n{{x}}", slots, random.Random(0)) == "Tea, tea and gay people\n{x}"
    assert {varied("It's so.", random.Random(seed)) for seed in range(60)} == {
        "It's so.", "it's so.", "It's so", "It\u2019s so.", "Its so.",
    }  # fmt: skip


def test_a_group_is_swapped_for_another_of_the_same_form():
    rng = random.Random(0)
    swapped = toxicity_texts.swap_group("The women sang.", rng)
    assert swapped.startswith("the ")
    assert swapped.endswith(" sang.")
    assert swapped != "the women sang."
    assert toxicity_texts.swap_group("The kettle sang.", rng) is None


def test_a_run_from_earlier_weights_draws_each_source_by_its_share():
    mixture = {"clinc": 0.4, "hatemojibuild": 2.0}
    texts = [
        Example(f"{source} {n}", labels(0.0), 1.0, source)
        for source in ("clinc", "hatemojibuild", "own_retort")
        for n in range(500)
    ]
    drawn = sample_mixture(texts, 1, mixture, 1.0)
    assert drawn == sample_mixture(texts, 1, mixture, 1.0) != sample_mixture(texts, 2, mixture, 1.0)
    counts = {source: sum(e.source == source for e in drawn) for source in ("clinc", "hatemojibuild", "own_retort")}
    assert counts["hatemojibuild"] == 1000
    assert counts["own_retort"] == 500
    assert 150 < counts["clinc"] < 250
