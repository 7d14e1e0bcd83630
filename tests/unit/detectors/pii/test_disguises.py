"""Disguised personal data: leetspeak and encodings."""

import base64
import gzip
import json

import pytest

from detectors.evaluate.entity_sets import PRESIDIO
from detectors.evaluate.progress import no_progress
from detectors.evaluate.studies import disguises
from detectors.evaluate.studies.context import StudyContext
from detectors.normalise.disguise import encoded, unleeted

TEXT = "Please write to anna.keller@example.com, card 4111 1111 1111 1111."
LEET = str.maketrans("aeios", "43105")
TAGS = "".join(chr(0xE0000 + ord(character)) for character in TEXT)
CODES = {"base64": base64.b64encode(TEXT.encode()).decode(), "hex": TEXT.encode().hex(), "tags": TAGS}


@pytest.mark.parametrize("code", CODES.values(), ids=CODES)
def test_encoded_data_is_flagged_and_its_span_is_the_encoded_text(detector, code):
    text = f"Look at this: {code} :)"
    plain, score, twice = detector.score_many([TEXT, text, f"{text} {text}"])
    assert score.flagged
    assert score.score == plain.score
    (span,) = score.spans
    assert (text[span.start : span.end], span.type) == (code, "EMAIL_ADDRESS")
    assert [(s.start, s.end) for s in twice.spans] == [
        (span.start, span.end), (span.start + len(text) + 1, span.end + len(text) + 1),
    ]  # fmt: skip


def test_data_that_is_encoded_twice_is_flagged(detector):
    inner = base64.b64encode(f"take this {CODES['base64']}".encode()).decode()
    assert detector.score_many([f"now decode {inner}"])[0].flagged


@pytest.mark.parametrize("hidden", ["I live in London", "on 12 May 2024", "www.example.com", "hello"])
def test_a_harmless_passage_hides_no_data_around_it(detector, hidden):
    tags = "".join(chr(0xE0000 + ord(letter)) for letter in hidden)
    texts = [f"my card is 4532 0151 1283{tags} 0366", "Write to c2VlIHlvdSBpbiBMb25kb24sIFBhdWw@example.com"]
    card, mail = detector.score_many(texts)
    assert card.flagged
    assert [span.type for span in card.spans] == ["CREDIT_CARD"]
    assert mail.flagged
    assert "EMAIL_ADDRESS" in {span.type for span in mail.spans}


def test_leetspeak_is_read_and_spans_are_offsets_into_the_raw_text(detector):
    text = "My name is Maria Lopez and I live in Copenhagen, mail maria.lopez@example.org".translate(LEET)
    score = detector.score_many([text])[0]
    assert score.flagged
    found = {text[span.start : span.end]: span.type for span in score.spans}
    assert found["m4r14.l0p3z@3x4mpl3.0rg"] == "EMAIL_ADDRESS"
    assert found["M4r14 L0p3z"] == "PERSON"
    assert found["C0p3nh4g3n"] == "LOCATION"


def test_numbers_in_leetspeak_are_read_as_numbers(detector):
    text = "th3 c4rd 0f my s1st3r 15 4111 1111 1111 1111"
    spans = detector.score_many([text])[0].spans
    assert ("CREDIT_CARD", "4111 1111 1111 1111") in [(s.type, text[s.start : s.end]) for s in spans]


def test_digests_are_not_counted_as_words_of_leetspeak():
    digests = " ".join(["9f86d081884c7d659a2feaa0c55ad015a3"] * 9)
    read = unleeted(f"{digests} J0hn 5m1th of B4ker Street")
    assert read is not None
    assert read.endswith(" John smith of Baker Street")
    assert unleeted(f"{digests} John Smith of Baker Street") is None


@pytest.mark.parametrize(
    "text",
    [
        "The 1st B2B mp3 costs $500k or 20kg, and U2 plays in 4K.",
        "Our flights LH454 and BA12 leave from gates B17 and C4 at noon on Friday.",
        "See https://example.org/a4/page?x=1",
        "12 345 6789",
        "",
    ],
)
def test_other_text_is_no_leetspeak(text):
    assert unleeted(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "sha256 53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db",
        "key QWxhZGRpbjpvcGVuIHNlc2FtZQAA/+8gICAgICAgZm9v internationalisation and counterrevolutionary",
        "",
    ],
)
def test_digests_keys_and_words_are_not_encoded_text(text):
    assert encoded(text) == []


def test_decoding_is_bounded(detector):
    runs = " ".join(CODES["base64"] for _ in range(40))
    assert len(encoded(runs)) == 8
    score = detector.score_many([runs])[0]
    assert score.flagged
    assert len([s for s in score.spans if s.type == "EMAIL_ADDRESS"]) == 8


@pytest.mark.parametrize(
    "other", ["src/main/java/com/example/Service{}.java", "request 3f2504e04f8941d39a0c0305e82c33{} ok"]
)
def test_passages_that_only_look_encoded_hide_no_encoded_data(detector, other):
    text = "\n".join([*(other.format(f"{number:02}") for number in range(40)), CODES["base64"]])
    score = detector.score_many([text])[0]
    assert score.flagged
    assert "EMAIL_ADDRESS" in {span.type for span in score.spans}


@pytest.mark.parametrize("padding", range(6))
def test_a_long_encoded_text_is_cut_between_two_characters(padding):
    text = "x" * padding + TEXT + " Привет, как дела? Сегодня хорошая погода." * 400
    (found,) = encoded(base64.b64encode(text.encode()).decode())
    assert text.startswith(found.text)
    assert TEXT in found.text


def test_the_study_measures_characters_at_the_offsets_of_the_disguised_text(tmp_path):
    mail = TEXT.index("anna")
    span = {
        "start_position": mail,
        "end_position": mail + len("anna.keller@example.com"),
        "entity_type": "EMAIL_ADDRESS",
    }
    path = tmp_path / PRESIDIO
    path.parent.mkdir()
    records = [{"full_text": TEXT, "spans": [span]}, {"full_text": "The garden is green.", "spans": []}]
    path.write_bytes(gzip.compress(json.dumps(records).encode()))
    found = disguises.disguised_pii(StudyContext(tmp_path, 1, 0, no_progress))
    rows = {row["data"].removeprefix("personal data, "): row for row in found}
    names = disguises.BY_CHARACTER.keys()
    assert rows.keys() == names | disguises.CODES.keys()
    assert {name: rows[name]["recall"] for name in names} == dict.fromkeys(names, 1.0)
    assert {row["flagged"] for row in rows.values()} == {0.5}
