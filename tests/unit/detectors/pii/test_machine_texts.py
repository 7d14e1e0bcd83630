"""Texts of machines: only phone numbers and addresses among their numbers are personal data."""

import tomllib
from collections import Counter
from pathlib import Path

import pytest
from support.machine_texts import HELD_OUT, TUNED, machine_texts

MOST_FLAGGED = 0.02
TEXTS = tomllib.loads(Path(__file__).with_name("texts.toml").read_text())


def _found(detector, text, kind):
    return [text[span.start : span.end] for span in detector.score_many([text])[0].spans if span.type == kind]


@pytest.mark.parametrize("kinds", [TUNED, HELD_OUT], ids=["tuned", "held out"])
def test_few_machine_texts_are_flagged(detector, kinds):
    texts = machine_texts(kinds, each=40, seed=1)
    scores = detector.score_many([text for _, text in texts])
    flagged = Counter(kind for (kind, _), score in zip(texts, scores, strict=True) if score.flagged)
    assert flagged.total() <= MOST_FLAGGED * len(texts), flagged


def test_machine_texts_are_the_same_for_the_same_seed():
    assert machine_texts(TUNED, each=2, seed=3) == machine_texts(TUNED, each=2, seed=3)
    assert machine_texts(TUNED, each=2, seed=3) != machine_texts(TUNED, each=2, seed=4)


@pytest.mark.parametrize(
    ("text", "number"), [*((f"Yes, {number} is fine.", number) for number in TEXTS["phones"]), *TEXTS["labelled"]]
)
def test_phone_numbers_are_found_by_their_form_or_beside_a_label(patterns, text, number):
    assert _found(patterns, text, "PHONE_NUMBER") == [number]
    assert patterns.score_many([text])[0].flagged


@pytest.mark.parametrize("text", TEXTS["no_phones"])
def test_other_numbers_are_not_phone_numbers(patterns, text):
    assert _found(patterns, text, "PHONE_NUMBER") == []
    assert not patterns.score_many([text])[0].flagged


@pytest.mark.parametrize("text", TEXTS["addresses"])
def test_public_ip_addresses_are_flagged(patterns, text):
    assert _found(patterns, text, "IP_ADDRESS")
    assert patterns.score_many([text])[0].flagged


@pytest.mark.parametrize("text", TEXTS["no_addresses"])
def test_versions_slices_and_scopes_are_not_ip_addresses(patterns, text):
    assert _found(patterns, text, "IP_ADDRESS") == []


@pytest.mark.parametrize("text", TEXTS["pieces"])
def test_pieces_of_longer_numbers_are_not_flagged(patterns, text):
    assert not patterns.score_many([text])[0].flagged


@pytest.mark.parametrize("text", TEXTS["no_cards"])
def test_numbers_of_orders_and_tables_are_not_cards(patterns, text):
    assert not patterns.score_many([text])[0].flagged


@pytest.mark.parametrize("text", TEXTS["cards"])
def test_cards_count_beside_their_label_or_among_cards(patterns, text):
    assert _found(patterns, text, "CREDIT_CARD")
    assert patterns.score_many([text])[0].flagged


def test_code_is_not_a_name_with_an_address(detector):
    code = "elif isinstance(p2cread, p2cwrite): c2pread, errread = rpt, rit  # glibc 2.3 needs drv2, root2\n"
    assert not detector.score_many([code * 3])[0].flagged
