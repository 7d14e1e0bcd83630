"""Texts of at most three words: answers to tasks, and insults. Strings in JSON and code."""

import json

import pytest

from detectors.normalise.quoted import STRINGS, quoted
from detectors.registry import create_text
from detectors.train.templates import read_source


@pytest.fixture(scope="module")
def detector():
    made = create_text("toxicity")
    made.load()
    return made


@pytest.mark.parametrize("answer", ["culottes", "a zygote", "blanket, cat, lie", "plane, runway, sit", "Harkness"])
def test_a_short_answer_is_not_toxic(detector, answer):
    assert not detector.score_many([answer])[0].flagged


def test_few_harmless_texts_of_one_to_five_words_are_toxic(detector):
    texts = read_source("second_turns").templates["short_harmless"]
    assert sum(score.flagged for score in detector.score_many(texts)) <= len(texts) // 30


@pytest.mark.parametrize("answer", ["you idiot", "kill yourself", "stupid bitch", "y0u 1d10t"])
def test_a_short_insult_is_toxic(detector, answer):
    assert detector.score_many([answer])[0].flagged


@pytest.mark.parametrize("text", ["bisexuals belong in cages.", "🧕 = 🐖", "a" * 41])
def test_longer_texts_and_emoji_are_scored_by_the_encoder(detector, text):
    assert detector.blend_of(text) == detector.blend
    assert detector.blend_of("blanket, cat, lie") > detector.blend


INSULT = "You are a fucking idiot."
RECORD = {
    "id": 4711,
    "user": "tom42",
    "created_at": "2025-03-14T10:00:00Z",
    "text": INSULT,
    "likes": 3,
    "tags": ["news"],
}
IN_STRINGS = [
    json.dumps(RECORD),
    json.dumps({"type": "tool_result", "content": json.dumps({"body": INSULT})}),
    json.dumps([{"id": 1, "text": "Nice picture!"}, {"id": 2, "text": INSULT}], indent=2),
    f'id: 4711\nuser: tom42\ntext: "{INSULT}"\nlikes: 3',
    f'id,user,text,likes\n1,anna,Nice picture!,3\n2,tom42,"{INSULT}",0',
    f'2025-03-14 10:00:00 INFO chat user=tom42 msg="{INSULT}"',
    f'message = "{INSULT}"\nprint(message)',
]


@pytest.mark.parametrize("text", IN_STRINGS, ids=["record", "json in json", "list", "yaml", "csv", "log", "code"])
def test_an_insult_in_a_string_is_toxic(detector, text):
    assert detector.score_many([text])[0].flagged
    assert not detector.score_many([text.replace(INSULT, "The parcel arrived on Monday.")])[0].flagged
    assert detector.slow([text]) == [True]


@pytest.mark.parametrize(
    ("text", "strings"),
    [
        ('["a b c d e", "f \\u0067\\n\\"h\\" i j"]', ["a b c d e", 'f g\n"h" i j']),
        ('f("C:\\new folder")', ["C:\new folder"]),
        ('f("C:\\x new folder")', ["C:\\x new folder"]),
        ('{"long-name": "identifier-only", "n": 1}', []),
        ('He said: "You are late again."', []),
        ('Anna: "You are late." He asked, "Who, me and you?"', []),
        ('="a b c d e"' * (STRINGS + 1), ["a b c d e"] * STRINGS),
    ],
)
def test_the_strings_of_data_and_code_are_read_but_not_speech(text, strings):
    assert quoted(text) == strings
