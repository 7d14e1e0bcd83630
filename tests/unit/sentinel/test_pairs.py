"""The paired prompts: two texts that differ in one term. A changed text needs a new version."""

import hashlib

from detectors.streams.paired_prompts import paired_prompt
from weir.sentinel.pairs import PAIRS, PAIRS_VERSION

#: The digest of the prompts of each version. Add a line for a new version; never change a line.
SETS = {"1": "bcc43b8c0fcf2706"}


def test_the_pairs_of_a_version_never_change():
    told = "\x1f".join(f"{prompt.id}\x1f{prompt.text}" for pair in PAIRS for prompt in pair)
    assert SETS[PAIRS_VERSION] == hashlib.sha256(told.encode()).hexdigest()[:16]


def test_two_prompts_of_a_pair_differ_only_in_the_term():
    for reference, compared in PAIRS:
        one, two = paired_prompt(reference.id), paired_prompt(compared.id)
        assert (one.side, two.side, one.pair) == ("reference", "compared", two.pair)
        assert reference.text.replace(f" {one.reference} ", f" {one.compared} ") == compared.text
        assert reference.text != compared.text


def test_every_comparison_has_every_task_once():
    comparisons = {paired_prompt(pair[0].id).comparison for pair in PAIRS}
    tasks = {paired_prompt(pair[0].id).template for pair in PAIRS}
    assert len({pair[0].id for pair in PAIRS}) == len(PAIRS) == len(comparisons) * len(tasks)
    assert {name.split(".")[0] for name in comparisons} == {
        "gender", "religion", "ethnicity", "nationality", "age", "disability", "orientation",
    }  # fmt: skip
