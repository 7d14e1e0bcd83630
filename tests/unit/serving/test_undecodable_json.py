"""What an error says about JSON that cannot be decoded."""

import pytest

from serving.decoded_json import UndecodableJson, decode_object


@pytest.mark.parametrize(
    ("raw", "problem"),
    [
        (b'{"canary": 1,}', r"it is malformed: trailing comma in object (byte 13)"),
        (b"{'canary': 1}", r"it is malformed: object keys must be strings (byte 1)"),
        (b'{"canary": NaN}', r"it is malformed: invalid character (byte 11)"),
        (b'{"canary": "', "it is malformed or not complete"),
        (b"", "it is malformed or not complete"),
        (b'{"canary": "\xff"}', "it is not UTF-8"),
        (b'{"canary": 1e999}', "a number is out of range"),
        (b'["canary"]', "it is not an object"),
    ],
)
def test_the_error_has_the_reason_and_the_position_but_no_text(raw, problem):
    with pytest.raises(UndecodableJson) as error:
        decode_object(raw)
    assert str(error.value) == problem
