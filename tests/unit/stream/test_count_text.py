import pytest

from stream.count_text import count_text


@pytest.mark.parametrize(
    ("number", "words", "text"),
    [
        (0, ("request",), "0 requests"),
        (1, ("request",), "1 request"),
        (2, ("request",), "2 requests"),
        (1, ("bad line has", "bad lines have"), "1 bad line has"),
        (2, ("bad line has", "bad lines have"), "2 bad lines have"),
    ],
)
def test_one_is_singular(number, words, text):
    assert count_text(number, *words) == text
