import pytest

from detectors.normalise.loops import without_loops


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("word " * 100, "word "),
        ("say no no no no, no", "say no no no no, no"),
        ("say no no no no again", "say no again"),
        ("very very very good", "very very very good"),
        ("the cat and a dog " * 9 + "slept", "the cat and a dog slept"),
        ("the cat and the dog " * 9 + "slept", "the cat and the dog the cat and the dog slept"),
        ("x y x y x y x y x z", "x y x z"),
        ("one\n" * 5 + "two\n" * 5, "one\ntwo\n"),
        ("", ""),
    ],
)
def test_one_copy_of_a_repeated_phrase_is_left(text, expected):
    assert without_loops(text) == expected


def test_a_phrase_of_forty_words_is_the_longest():
    def repeated(words):
        return " ".join([*map(str, range(words))] * 4)

    assert len(without_loops(repeated(40)).split()) == 40
    assert without_loops(repeated(41)) == repeated(41)
