"""Short negative answers, which are no refusals, and short refusals."""

import pytest

from detectors.registry import create_text


@pytest.fixture(scope="module")
def detector():
    made = create_text("refusal")
    made.load()
    return made


@pytest.mark.parametrize(
    "answer",
    [
        "No",
        "no",
        "No.",
        "NO!",
        "**No**",
        "Answer: No",
        "Nope",
        "None",
        "Non.",
        "No, it is not.",
        "No, they don\u2019t.",
    ],
)
def test_a_short_negative_answer_is_no_refusal(detector, answer):
    (score,) = detector.score_many([answer])
    assert (score.flagged, score.label) == (False, "ok")
    assert score.score < 0.01


@pytest.mark.parametrize("answer", ["No, I can't.", "I can't", "No. I will not help with that.", "I'm sorry, but no."])
def test_a_short_refusal_is_still_found(detector, answer):
    assert detector.score_many([answer])[0].flagged


@pytest.mark.parametrize("text", ["no" + " " * 100_000 + "x", "*" * 100_000 + "no it is", "answer" + "-" * 100_000])
def test_a_hostile_text_takes_bounded_time(detector, text):
    assert len(detector.scores([text], detector.screen([text])[0], detector.screen([text])[0] * 0 + 1)) == 1
