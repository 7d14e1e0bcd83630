import pytest

from serving.decoded_json import repaired_json


@pytest.mark.parametrize(
    ("raw", "repaired"),
    [
        (rb'["a\ud83d", 1]', rb'["a?", 1]'),
        (rb'["\udc4b\uD83D"]', rb'["??"]'),
        (rb'["\ud83d\udc4b"]', rb'["\ud83d\udc4b"]'),
        (rb'["\ud83d\ud83d\udc4b"]', rb'["?\ud83d\udc4b"]'),
        (rb'["\\ud83d", "\\\ud83d"]', rb'["\\ud83d", "\\?"]'),
        (b'{"a": NaN, "b": [-Infinity, Infinity, -1]}', b'{"a": null, "b": [null, null, -1]}'),
        (rb'["NaN \" -Infinity", "-", NaN]', rb'["NaN \" -Infinity", "-", null]'),
        (b'["a\xff"]', '["a\ufffd"]'.encode()),
        (rb'["NaN', rb'["NaN'),
        (rb'["\\', rb'["\\'),
        (rb'["\ud83', rb'["\ud83'),
    ],
)
def test_invalid_values_are_replaced_and_the_rest_is_unchanged(raw, repaired):
    assert repaired_json(raw) == repaired


def test_the_number_of_replaced_values_is_bounded_by_memory():
    raw = b"[" + b"NaN," * 200_000 + b"1]"
    repaired = repaired_json(raw)
    assert repaired.count(b"null") == repaired.count(b"NaN") == 100_000
