import pytest

from detectors.normalise.unicode import normalise, without_surrogates

CASES = [
    # raw, normalised
    ("i\u200bd\u200ci\u200do\u2060t", "idiot"),
    ("\U000e0069\U000e0067nore", "nore"),
    ("\uff46\uff55\uff4c\uff4c\u3000\uff14\uff11", "full 41"),
    ("id\u0456\u043et", "idiot"),
    ("\U0001d5c4\U0001d5c2\U0001d5c5\U0001d5c5 \U0001d4ce\u2134\U0001d4ca", "kill you"),
    ("s\u00adtupid", "stupid"),
    ("4111\u20111111", "4111-1111"),
    ("e\u0301tude", "étude"),
    ("ﬁsh", "fish"),
    ("a\ufe0fb", "ab"),
]


@pytest.mark.parametrize(("raw", "expected"), CASES)
def test_disguises_are_removed(raw, expected):
    copy = normalise(raw)
    assert copy is not None
    assert copy.text == expected
    assert len(copy.starts) == len(copy.ends) == len(copy.text)


@pytest.mark.parametrize("around", ["plain words, ", "Обычные слова, ", "普通の長い文章です、", "word \u2013 "])
@pytest.mark.parametrize("raw", [*(raw for raw, _ in CASES), "last e\u0301"])
def test_a_disguise_in_a_long_text_has_the_same_normal_form_and_offsets_as_alone(around, raw):
    whole, alone, side = normalise(f"{around} {raw} {around}"), normalise(raw), around.replace("\u2013", "-")
    assert whole.text == f"{side} {alone.text if alone else raw} {side}"
    starts = alone.starts if alone else range(len(raw))
    assert [start - len(around) - 1 for start in whole.starts[len(around) + 1 : -len(around) - 1]] == list(starts)
    assert whole.starts[-len(around) :] == [*range(len(around) + len(raw) + 2, 2 * len(around) + len(raw) + 2)]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "plain text",
        "café",
        "\u041c\u043e\u0441\u043a\u0432\u0430 \u0438 \u0420\u043e\u0441\u0441\u0438\u044f",
        "\u03ba\u03b1\u03b9 \u03c4\u03bf \u03bd\u03b5\u03c1\u03cc",
        "漢字",
        "naïve façade",
    ],
)
def test_ordinary_text_is_unchanged(text):
    assert normalise(text) is None


def test_offsets_are_mapped_to_the_raw_text():
    raw = "say: m\u200baria@exa\u200bmple.org now"
    copy = normalise(raw)
    start = copy.text.index("maria@")
    first, last = copy.raw_span(start, start + len("maria@example.org"))
    assert raw[first:last] == "m\u200baria@exa\u200bmple.org"


def test_one_character_can_be_normalised_to_several():
    raw = "x ﷺ y"
    copy = normalise(raw)
    assert copy.raw_span(copy.text.index("y"), copy.text.index("y") + 1) == (4, 5)
    assert copy.raw_span(2, 3) == (2, 3)


def test_a_stack_of_combining_marks_takes_linear_time():
    copy = normalise("e" + "\u0301" * 60_000)
    assert copy is not None
    assert copy.ends[-1] == 60_001


def test_surrogates_are_replaced_one_for_one():
    assert without_surrogates("a\ud800b\udfffc") == "a\ufffdb\ufffdc"


def test_the_growth_of_a_text_of_ligatures_is_bounded():
    copy = normalise("\ufdfa\u33af\u3316" * 100_000)
    assert copy is not None
    assert len(copy.text) <= 400_000
    assert copy.ends[-1] == 300_000
