"""Rules that corrupt an answer: each rule makes one kind of error, or returns nothing if it cannot change the answer."""

import random

import pytest

from detectors.train.corruptions import KINDS, Material, corrupted

MATERIAL = Material(
    source="In Selby, Ingrid Vale sold 48 ships to Martin Hale in 1923.",
    other_source="The mayor, who was born in a village near the coast, thanked Paula Quist for 77 years of work.",
    other_sentence="The bridge was closed for two weeks.",
)
TEXT = "The office of Ingrid Vale was not in Selby before 1923."


def made(text=TEXT):
    return {one.kind: one for one in corrupted(text, MATERIAL, random.Random(3))}


def test_all_kinds_of_errors_are_made_with_the_range_of_the_change():
    found = made()
    assert set(found) == set(KINDS)
    for one in found.values():
        assert one.text != TEXT
        assert one.text[one.start : one.end].strip()


@pytest.mark.parametrize(
    ("kind", "inserted"),
    [
        ("new name", {"Paula Quist"}),
        ("name of the source", {"Martin Hale"}),
        ("number of the source", {"48"}),
        ("negation", {"was"}),
        ("added sentence", {MATERIAL.other_sentence}),
    ],
)
def test_the_new_words_are_from_the_source_of_the_kind(kind, inserted):
    one = made()[kind]
    assert one.text[one.start : one.end] in inserted


def test_a_new_number_is_in_no_source_and_names_are_exchanged():
    found = made()
    number = found["new number"]
    assert number.text[number.start : number.end] not in MATERIAL.source
    assert found["names exchanged"].text == "The office of Selby was not in Ingrid Vale before 1923."


@pytest.mark.parametrize(
    ("text", "exchanged"),
    [
        ("John Smith met the mayor.", None),
        ("John Smith met John Smith.", None),
        (
            "New York Times reporters criticised Boris Johnson.",
            "Boris Johnson reporters criticised New York Times.",
        ),
    ],
)
def test_a_name_that_begins_the_text_is_exchanged_as_a_whole(text, exchanged):
    one = made(text).get("names exchanged")
    assert (one and one.text) == exchanged


def test_a_name_that_begins_the_text_is_replaced_as_a_whole():
    drawn = [corrupted("John Smith met the mayor.", MATERIAL, random.Random(seed)) for seed in range(20)]
    new_names = {one.text for found in drawn for one in found if one.kind == "new name"}
    assert new_names == {"Paula Quist met the mayor."}


def test_a_negation_is_added():
    assert made("The ship was old.")["negation"].text == "The ship was not old."


@pytest.mark.parametrize("text", ["There was never a ship.", "He can't swim.", "He can\u2019t swim."])
def test_a_negation_is_not_added_twice(text):
    assert "negation" not in made(text)


def test_a_text_without_names_numbers_and_auxiliaries_only_gets_additions():
    assert set(made("they sold old ships quickly")) == {"added sentence", "added clause"}
