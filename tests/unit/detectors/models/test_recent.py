"""The cache of recent results."""

from detectors.models import recent
from detectors.models.recent import Recent


def test_an_input_is_computed_once_while_it_is_recent(monkeypatch):
    monkeypatch.setattr(recent, "RESULTS", 2)
    cache, computed = Recent(), []

    def lengths(texts):
        computed.append(texts)
        return list(map(len, texts))

    assert cache.of(["a", "bb", "a"], lengths) == [1, 2, 1]
    assert cache.of(["a", "ccc"], lengths) == [1, 3]
    assert cache.of(["bb"], lengths) == [2], "two results are kept, and bb was not one of them"
    assert cache.of([], lengths) == []
    assert computed == [["a", "bb"], ["ccc"], ["bb"]]


def test_inputs_of_several_texts_differ_if_a_text_differs():
    cache = Recent()
    inputs = [("a", "b"), ("a\0", "b"), ("a", "\0b"), ("ab", ""), ("", "ab"), ("\ud800", "")]
    assert cache.of(inputs, lambda new: list(range(len(new)))) == list(range(len(inputs)))
