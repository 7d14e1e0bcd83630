"""What an error says about JSON that cannot be decoded."""

import pytest

from serving.decoded_json import UndecodableJson, decode_object
from serving.openai_api.errors import ApiError
from serving.openai_api.feedback import FeedbackRequest
from serving.openai_api.request_model import parse


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


@pytest.mark.parametrize("half", [rb"\ud83d", rb"\uDC4d", rb"\ud83d\u0041", rb"\\\ud83d"])
def test_half_a_character_is_named_as_the_cause(half):
    position = 2 + half.index(b"\\u")
    problem = f"byte {position} begins half a character (a lone surrogate), as of an emoji that was cut in two; send whole characters"
    raw = b'{"' + half + b' canary": ""}'
    with pytest.raises(UndecodableJson) as error:
        decode_object(raw)
    assert str(error.value) == problem
    with pytest.raises(ApiError) as answer:
        parse(FeedbackRequest, raw)
    assert answer.value.message == f"The body is not valid JSON: {problem}."
