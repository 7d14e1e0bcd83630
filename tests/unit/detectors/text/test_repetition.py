"""Degenerate answers, and near misses: repetition that people and good models write."""

# ruff: noqa: RUF001 - texts of other scripts

import pytest

from detectors.registry import create_text

PARAGRAPH = (
    "The bridge was closed on Monday because two cables had rusted through. Engineers expect the repair to take six weeks. "
    "Until then buses cross the river further south, and cyclists may use the ferry for free. The town has asked the region "
    "for help with the cost, which is put at four million. A decision is expected before the summer, when traffic is lightest."
)
LOOPS = {
    "one word": "Yes, of course. I think that" + " the" * 30,
    "a phrase": "The answer is " + "and then the cat sat on the mat " * 8,
    "a sentence": "Paris is the capital of France. " + "It is known for its food, its art and its history. " * 6,
    "a sentence, no break at the end": "I am here to help you. " * 12 + "I am here to",
    "upper and lower case": "Buy it now, buy it now, BUY IT NOW, Buy it now, buy it now, BUY IT NOW, buy it now, buy it now",
    "a paragraph": (PARAGRAPH + "\n\n") * 4,
    "a line of code": "import os\n" + "x = x + 1\n" * 40,
    "a counter": "\n".join(f"Step {n}: mix the flour with the water and stir it well until it is smooth." for n in range(1, 80)),
    "signs": "Loading " + "=" * 4000,
    "no spaces": "hahaha" * 60,
    "Chinese": "今天天气很好，" * 12,
    "Japanese": "はい、わかりました。" * 10,
    "Russian": "Это очень важный вопрос. " * 10,
    "Thai": "สวัสดีครับ" * 10,
    "emoji": "😂🔥" * 40,
}  # fmt: skip
NEAR_MISSES = {
    "prose": PARAGRAPH,
    "a refrain": "Row, row, row your boat, gently down the stream. Merrily, merrily, merrily, merrily, life is but a dream.",
    "laughing": "ha ha ha ha ha ha, that was a good one! Tell me another one before I have to leave for work.",
    "counting": " ".join(str(number) for number in range(1, 200)),
    "a table": "| Name | Price | Stock |\n|------|-------|-------|\n| Apple | 3 | 14 |\n| Pear | 4 | 9 |\n| Plum | 2 | 31 |\n| Fig | 6 | 2 |",
    "a list": "\n".join(f"- {name} is on the list" for name in ("Milk", "Bread", "Rice", "Salt", "Oil", "Tea", "Soap", "Eggs")),
    "code": "\n".join(f"    self._{name} = {name}" for name in ("host", "port", "user", "path", "mode", "size", "name", "kind")),
    "JSON": ", ".join(f'{{"id": {n}, "name": "{name}", "ok": true}}' for n, name in enumerate(("Ada", "Ben", "Cem", "Dan", "Eva"))),
    "rulers": "Results\n" + "-" * 79 + "\nAll tests have passed.\n" + "=" * 79 + "\nNothing is left to do.",
    "base64": "iVBORw0KGgoAAAANSUhEUgAAAAUAAAAFCAYAAACNbyblAAAAHElEQVQI12P4//8/w38GIAXDIBKE0DHxgljNBAAO9TXL0Y4OHwAAAABJRU5ErkJggg==",
    "a quoted sentence": f'"{PARAGRAPH}" In other words: {PARAGRAPH[:71]}',
    "a short loop in a long text": f"{PARAGRAPH} no no no no {PARAGRAPH[::-1]}",
    "very short": "no no no",
    "Chinese prose": "今天天气很好，我们一起去公园散步吧。那里有很多花，也有一个小湖，孩子们喜欢在湖边喂鸭子。",
}  # fmt: skip


@pytest.mark.parametrize("kind", LOOPS)
def test_a_degenerate_answer_is_flagged(detector, kind):
    score = detector.score_many([LOOPS[kind]])[0]
    assert score.flagged
    assert score.label == "repetition"


@pytest.mark.parametrize("kind", NEAR_MISSES)
def test_ordinary_repetition_is_not_flagged(detector, kind):
    assert not detector.score_many([NEAR_MISSES[kind]])[0].flagged


def test_the_span_is_the_loop(detector):
    text = LOOPS["a sentence"]
    (span,) = detector.score_many([text])[0].spans
    assert text[span.start : span.end].lstrip(". ") == text[text.index("It is known") :].rstrip()
    assert span.type == "LOOP"


def test_the_score_is_the_share_in_loops(detector):
    loop = "round and round it goes " * 8
    score = detector.score_many([" ".join(PARAGRAPH.replace(".", "").replace(",", "").split()[:40]) + " " + loop])[0]
    assert score.score == pytest.approx(40 / 80, abs=0.02)


def test_the_threshold_is_a_setting(detector):
    text = PARAGRAPH + " and so on" * 12
    strict = create_text("repetition", {"threshold": 0.2})
    strict.load()
    assert not detector.score_many([text])[0].flagged
    assert strict.score_many([text])[0].flagged


@pytest.mark.parametrize("unit", ["x", "ab ", "1-", "www.", "!", "a\u0301", "漢字", " ", "\n", "\ud800"])
def test_any_text_of_64_kb_is_read_to_its_end(detector, unit):
    score = detector.score_many([(unit * 65_536)[:65_536]])[0]
    assert score.covered == 1.0
    assert score.flagged == bool(unit.strip())
