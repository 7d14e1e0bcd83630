"""Span metrics on cases computed by hand."""

import math

import pytest

from detectors.base import Span
from detectors.evaluate import span_metrics
from detectors.evaluate.span_metrics import FORMATS, TYPES, characters, common, overlap, span_counts, typed


def span(start, end, kind="PERSON"):
    return Span(start=start, end=end, type=kind, score=1.0)


def test_overlap_is_intersection_over_union():
    assert overlap(span(0, 10), span(5, 15)) == pytest.approx(1 / 3)
    assert overlap(span(0, 10), span(0, 5)) == 0.5
    assert overlap(span(0, 10), span(10, 20)) == 0.0


@pytest.mark.parametrize(
    ("found", "wanted", "hits"),
    [
        ([(0, 10)], [(0, 10)], 1),
        ([(0, 5)], [(0, 10)], 1),  # an overlap of exactly one half
        ([(0, 4)], [(0, 10)], 0),
        ([(0, 10), (0, 9)], [(0, 10)], 1),  # each span matches once
        ([(0, 10)], [(0, 10), (0, 9)], 1),
        ([(0, 8), (0, 10)], [(0, 10), (0, 7)], 2),  # the pair with the larger overlap matches first
        ([], [(0, 10)], 0),
        ([(0, 10)], [], 0),
    ],
)
def test_spans_match_one_to_one(found, wanted, hits):
    assert span_counts([span(*one) for one in found], [span(*one) for one in wanted]) == (hits, len(found), len(wanted))


def test_a_log_with_many_spans_needs_few_comparisons(monkeypatch):
    compared = []
    monkeypatch.setattr(span_metrics, "overlap", lambda one, other: compared.append(1) or overlap(one, other))
    log = [span(20 * line, 20 * line + 15) for line in range(1000)]
    assert span_counts(log, log[::-1]) == (1000, 1000, 1000)
    assert len(compared) < 5000


def test_characters_of_any_type_ignore_the_type_and_count_an_overlap_once():
    # Found: 0-6 (6 characters, two spans). Labelled: 2-10 (8 characters). In both: 2-6 (4 characters).
    row = characters([[span(0, 4, "PERSON"), span(2, 6, "URL")]], [[span(2, 10, "LOCATION")]])
    assert (row["precision"], row["recall"]) == (pytest.approx(4 / 6), 0.5)
    assert row["f2"] == pytest.approx(5 * 4 / (4 * 8 + 6))


def test_a_text_without_personal_data_counts_only_false_alarms():
    row = characters([[span(0, 5)], []], [[], []])
    assert row["precision"] == 0.0
    assert math.isnan(row["recall"])


def test_typed_spans_are_compared_under_the_published_map():
    found = [[span(0, 10, "LOCATION"), span(20, 30, "EMAIL_ADDRESS")]]
    wanted = [[span(0, 10, "STREET_ADDRESS"), span(20, 30, "EMAIL_ADDRESS"), span(40, 50, "PHONE_NUMBER")]]
    by_type, everything, formats = typed(found, wanted)
    assert by_type["LOCATION"]["recall"] == 1.0
    assert by_type["PHONE_NUMBER"] | {"precision": 0.0} == {
        "spans": 1.0, "found": 0.0, "f1": 0.0, "f2": 0.0, "precision": 0.0, "recall": 0.0,
    }  # fmt: skip
    assert (everything["precision"], everything["recall"]) == (1.0, pytest.approx(2 / 3))
    assert formats["f1"] == 1.0


def test_the_right_range_with_another_type_is_a_miss_and_a_false_alarm():
    _, everything, _ = typed([[span(0, 10, "PERSON")]], [[span(0, 10, "ORGANIZATION")]])
    assert (everything["precision"], everything["recall"]) == (0.0, 0.0)


def test_a_type_that_the_data_never_labels_is_a_false_alarm():
    _, everything, _ = typed([[span(0, 10), span(20, 30, "CRYPTO")]], [[span(0, 10)]])
    assert everything["precision"] == 0.5


def test_spans_of_different_texts_never_match():
    _, everything, _ = typed([[span(0, 10)], []], [[], [span(0, 10)]])
    assert everything["recall"] == 0.0


def test_each_target_of_the_type_map_maps_to_itself():
    assert {common(kind) for kind in TYPES.values()} == set(TYPES.values())
    assert {common(kind) for kind in FORMATS} == FORMATS
