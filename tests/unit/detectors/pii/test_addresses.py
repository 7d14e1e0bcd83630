"""Street addresses, and phrases that show that a named person lives there; the texts are in texts.toml."""

import re
import tomllib
from pathlib import Path

import pytest

from detectors.base import Span
from detectors.pii.addresses import is_somebodys

TEXTS = tomllib.loads(Path(__file__).with_name("texts.toml").read_text())


def _span(text, part, kind):
    start = text.index(part)
    return Span(start=start, end=start + len(part), type=kind, score=0.6)


def _somebodys(text, name, address, by_form):
    return is_somebodys(text, _span(text, address, "LOCATION"), [_span(text, name, "PERSON")], by_form=by_form)


@pytest.mark.parametrize(("text", "name", "address"), TEXTS["homes"])
def test_an_address_with_such_a_phrase_is_linked_to_the_person(patterns, text, name, address):
    assert address in [text[span.start : span.end] for span in patterns.score_many([text])[0].spans]
    assert _somebodys(text, name, address, by_form=True)


@pytest.mark.parametrize(("text", "name", "address"), TEXTS["no_homes"])
def test_an_address_without_such_a_phrase_is_not_linked_to_a_person(text, name, address):
    assert not _somebodys(text, name, address, by_form=False)
    if re.search("Street", address):
        assert not _somebodys(text, name, address, by_form=True)


def test_a_name_beside_a_number_that_is_no_street_address_is_not_flagged():
    text = "Anna Keller, Hilltop 56"
    assert _somebodys(text, "Anna Keller", "Hilltop 56", by_form=True)
    assert not _somebodys(text, "Anna Keller", "Hilltop 56", by_form=False)


def test_a_distant_name_does_not_count():
    text = "Anna Keller." + " word" * 40 + " address: 12 Oak Street, Apt 4"
    assert not _somebodys(text, "Anna Keller", "12 Oak Street", by_form=True)
