"""Masking, normalisation and near duplicates of texts."""

import pytest
from support.dataset_log import words

from detectors.base import Span
from stream.loop.dataset.near_duplicates import NearDuplicates, leaders
from stream.loop.dataset.texts import is_poor, masked, normalised


def span(start, end, kind="A"):
    return Span(start=start, end=end, type=kind, score=1.0)


@pytest.mark.parametrize(
    ("spans", "expected"),
    [
        ([], "0123456789"),
        ([span(8, 10, "B"), span(0, 2)], "<A>234567<B>"),
        ([span(2, 6), span(4, 8, "B")], "01<A>89"),
        ([span(2, 8), span(3, 5, "B")], "01<A>89"),
        ([span(2, 5), span(2, 8, "B")], "01<B>89"),
    ],
)
def test_spans_are_replaced_by_their_type_without_a_rest_of_their_text(spans, expected):
    assert masked("0123456789", spans) == expected


def test_texts_are_normalised():
    assert normalised("  e\u0301 \r\n\n\n\nb\u200b\x00 \ud800") == "\xe9\n\nb \ufffd"
    assert normalised("\ta\r") == "a"


@pytest.mark.parametrize(
    ("answer", "poor"),
    [("...", True), ("a \ufffd b", True), ("a\na\na\na", True), ("a\nb\na", False), ("42", False), ("\u597d", False)],
)
def test_an_empty_or_degenerate_answer_is_poor(answer, poor):
    assert is_poor(answer) is poor


def test_pairs_at_the_threshold_are_found_and_pairs_below_are_not():
    missed = 0
    for seed in range(200):
        text = words(seed, 60).split()
        near, far = [*text[:54], "x"], [*text[:30], *words(f"far {seed}", 30).split()]
        index = NearDuplicates(0.8)
        assert index.add(0, " ".join(text)) is None
        missed += index.find(" ".join(near)) != 0
        assert index.find(" ".join(far)) is None
    assert missed <= 2


def test_short_and_chinese_texts_are_compared_too():
    assert leaders(["yes", "no", "Yes!", ""], 0.8) == [0, 1, 0, 3]
    chinese = "\u4eca\u5929\u5929\u6c14\u5f88\u597d\u6211\u4eec\u51fa\u53bb\u8d70\u8d70\u5427"
    assert leaders([chinese, f"{chinese}\u3002", chinese[::-1]], 0.8) == [0, 0, 2]


def test_near_duplicates_are_grouped_with_the_first_text():
    texts = ["a b c d e f g h i j k l", "x y z", "a b c d e f g h i j k m", "x y z"]
    assert leaders(texts, 0.8) == [0, 1, 0, 1]
