import pytest

from stream.score_text import score_text


@pytest.mark.parametrize(
    ("score", "text"), [(0.0, "0.00"), (0.29, "0.29"), (0.57, "0.57"), (0.8497, "0.84"), (0.85, "0.85"), (1.0, "1.00")]
)
def test_a_score_is_rounded_down(score, text):
    assert score_text(score) == text
