"""Tables of (text, expected spans), with near misses."""

import time

import pytest

from detectors.base import Span
from detectors.errors import WeightsError
from detectors.pii.detector import PiiDetector, _span, without_overlaps
from detectors.pii.entities import Entity

WIDE = "4111 1111 1111 1111".translate({ord(digit): 0xFF10 + int(digit) for digit in "0123456789"})
SPANS = [
    ("card 4111 1111 1111 1111 please", [("CREDIT_CARD", "4111 1111 1111 1111")]),
    ("card 5500-0000-0000-0004", [("CREDIT_CARD", "5500-0000-0000-0004")]),
    ("378282246310005 is my amex", [("CREDIT_CARD", "378282246310005")]),
    ("IBAN DE89 3704 0044 0532 0130 00.", [("IBAN_CODE", "DE89 3704 0044 0532 0130 00")]),
    ("GB82WEST12345698765432", [("IBAN_CODE", "GB82WEST12345698765432")]),
    ("write to maria.lindqvist@example.org", [("EMAIL_ADDRESS", "maria.lindqvist@example.org")]),
    ("a+b@sub.example.co.uk!", [("EMAIL_ADDRESS", "a+b@sub.example.co.uk")]),
    ("my social security number is 536-22-8476", [("US_SSN", "536-22-8476")]),
    ("call +1 415 555 2671", [("PHONE_NUMBER", "+1 415 555 2671")]),
    ("under +44 20 7946 0958 or", [("PHONE_NUMBER", "+44 20 7946 0958")]),
    ("phone (212) 555-0187 today", [("PHONE_NUMBER", "(212) 555-0187")]),
    ("my ip is 8.8.8.8", [("IP_ADDRESS", "8.8.8.8")]),
    ("from 2001:4860:4860::8888", [("IP_ADDRESS", "2001:4860:4860::8888")]),
    ("mac 3c:22:fb:9a:10:7e", [("MAC_ADDRESS", "3c:22:fb:9a:10:7e")]),
    ("my driver's license number is 425700624", [("US_DRIVER_LICENSE", "425700624")]),
    ("fax (311)905-4466x8827", [("PHONE_NUMBER", "(311)905-4466x8827")]),
    ("call me on 96 237271", [("PHONE_NUMBER", "96 237271")]),
    ("my passport number is 912803456", [("US_PASSPORT", "912803456")]),
    (f"card {WIDE}", [("CREDIT_CARD", WIDE)]),
    ("m\u200baria@exa\u200bmple.org", [("EMAIL_ADDRESS", "m\u200baria@exa\u200bmple.org")]),
    ("é 日本 4111 1111 1111 1111", [("CREDIT_CARD", "4111 1111 1111 1111")]),
]
REPORTED = [
    ("Dr. Keller is in", [("TITLE", "Dr.")]),
    ("mrs. keller is in", [("TITLE", "mrs.")]),
    ("a 34-year-old man", [("AGE", "34")]),
    ("she turned 7", [("AGE", "7")]),
    ("at 1993-01-04 14:56:41 it failed", [("DATE_TIME", "1993-01-04 14:56:41")]),
    ("on 3 March 2021", [("DATE_TIME", "3 March 2021")]),
    ("March 3rd, 2021", [("DATE_TIME", "March 3rd, 2021")]),
    ("on friday", [("DATE_TIME", "friday")]),
    ("the host 10.218.6.131", [("IP_ADDRESS", "10.218.6.131")]),
    ("Suite 616 is empty", [("LOCATION", "Suite 616")]),
    ("see www.example.org/a?b=c", [("URL", "www.example.org/a?b=c")]),
]
UNREPORTED = [
    "I miss you, Miss. We may march on.",
    "drink 3 glasses in 2 years",
    "the suite is nice and the unit tests pass",
    "a mistake of 34 years",
    "chapter 10.2.1 on page 3",
]
NAMED = [
    ("Albert Einstein was born in Ulm.", "PERSON", "Albert Einstein"),
    ("please ask maria lopez to call back", "PERSON", "maria lopez"),
    ("I live in Copenhagen now", "LOCATION", "Copenhagen"),
    ("She works at Northern Credit Bank in Leeds", "ORGANIZATION", "Northern Credit Bank"),
    ("He is a civil engineer at Siemens", "TITLE", "civil engineer"),
    ("my neighbour is Norwegian", "NRP", "Norwegian"),
]
NEAR_MISSES = [
    "4111 1111 1111 1112 has a wrong digit",
    "DE89 3704 0044 0532 0130 01 has a wrong digit",
    "What is 123456789 times 987654321?",
    "my router is 192.168.1.1 and 127.0.0.1",
    "version 1.2.3.4 of the library",
    "maria at example dot org",
    "maria@localhost and x@y.notatld",
    "in 2023-2024 the 1,000,000 people",
    "000-12-3456 is no number",
    "the score was 3-2 on 12/05/2024",
    "pi is 3.14159265358979",
    "call 911",
    "ISBN 978-3-16-148410-0",
    "call me maybe",
]
ORDINARY = [
    "What is the capital of France?",
    "Tell me about Albert Einstein in 1905.",
    "Compose a travel blog post about Hawaii.",
    "Is Berlin larger than Paris?",
    "Write a poem about Anna Karenina.",
    "What did Microsoft announce on Monday?",
    "How long should I boil eggs?",
]


DISGUISES = {
    "zero width": "\u200b".join,
    "homoglyphs": lambda name: name.translate(str.maketrans("aeop", "\u0430\u0435\u043e\u0440")),
    "full width": lambda name: "".join(chr(ord(c) + 0xFEE0) if c != " " else c for c in name),
    "pictures": lambda name: name.replace(" ", " \U0001f600 "),
    "tag characters": lambda name: name[:2] + "\U000e0041\U000e0042" + name[2:],
}


@pytest.fixture(scope="module")
def patterns():
    detector = PiiDetector(PiiDetector.config_type(entities=False))
    detector.load()
    return detector


@pytest.fixture(scope="module")
def full():
    detector = PiiDetector()
    detector.load()
    return detector


@pytest.mark.parametrize(("text", "expected"), SPANS)
def test_direct_identifiers_are_found_and_flagged(patterns, text, expected):
    score = patterns.score_many([text])[0]
    assert [(span.type, text[span.start : span.end]) for span in score.spans] == expected
    assert score.flagged
    assert score.label == "pii"


@pytest.mark.parametrize("text", NEAR_MISSES)
def test_near_misses_are_not(patterns, text):
    assert not patterns.score_many([text])[0].flagged


@pytest.mark.parametrize("text", ORDINARY)
def test_names_and_places_alone_are_reported_but_not_flagged(full, text):
    score = full.score_many([text])[0]
    assert not score.flagged
    assert score.label == "ok"


@pytest.mark.parametrize(("text", "expected"), REPORTED)
def test_what_points_at_someone_is_reported_but_not_flagged(patterns, text, expected):
    score = patterns.score_many([text])[0]
    assert [(span.type, text[span.start : span.end]) for span in score.spans] == expected
    assert not score.flagged


@pytest.mark.parametrize("text", UNREPORTED)
def test_words_that_look_like_it_are_not_reported(patterns, text):
    assert patterns.score_many([text])[0].spans == ()


@pytest.mark.parametrize(("text", "kind", "expected"), NAMED)
def test_named_things_are_reported(full, text, kind, expected):
    spans = full.score_many([text])[0].spans
    assert (kind, expected) in [(span.type, text[span.start : span.end]) for span in spans]


@pytest.mark.parametrize("hide", DISGUISES.values(), ids=DISGUISES)
def test_named_things_are_found_in_disguise_where_they_lie(full, hide):
    text = "please ask " + (name := hide("Maria Lopez")) + " to come to the office in Boston"
    people = [text[span.start : span.end] for span in full.score_many([text])[0].spans if span.type == "PERSON"]
    assert people == [name]


def test_a_number_that_only_the_head_knows_is_reported_and_named_by_the_words_before_it():
    text = "driving licence no. 77-K-1"
    span = _span(text, Entity(start=20, end=26, kind="ID", probability=0.9))
    assert (span.type, span.score < 0.6) == ("US_DRIVER_LICENSE", True)


def test_of_spans_that_overlap_the_better_stays_whole_and_the_rest_of_the_other_is_kept():
    text = "Anna 4111111111111111 Keller"
    spans = [Span(start=0, end=28, type="PERSON", score=0.85), Span(start=5, end=21, type="CREDIT_CARD", score=1.0)]
    kept = [(span.type, text[span.start : span.end].strip()) for span in without_overlaps(text, spans)]
    assert kept == [("PERSON", "Anna"), ("CREDIT_CARD", "4111111111111111"), ("PERSON", "Keller")]


def test_a_full_name_with_an_address_is_flagged(full):
    assert full.score_many(["Anna Keller lives at 12 Oak Street, Boston."])[0].flagged
    assert not full.score_many(["Where is 12 Oak Street?"])[0].flagged


HOSTILE = {
    "www": "www." * 16_384,
    "dashes": "1-" * 32_768,
    "numbers": "123456789 " * 6_500,
    "phones": "212-555-0187 " * 5_000,
    "ats": "a@" * 32_768,
    "colons": "::1 " * 16_384,
    "hex": "ab:" * 21_000,
    "one word": "a" * 65_536,
    "dots": "a." * 32_768,
    "ibans": "DE89 3704 " * 6_500,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_patterns_over_hostile_text_take_linear_time(patterns, name):
    text = HOSTILE[name]

    def cost(size):
        begun = time.process_time()
        patterns.score_many([text[:size]])
        return time.process_time() - begun

    cost(1_000)
    whole, half = min(cost(len(text)) for _ in range(2)), min(cost(len(text) // 2) for _ in range(2))
    print(f"{name}: {whole * 1e3:.0f} ms for {len(text)} characters")
    # Quadratic would be four times; the bound is on this process's processor time, so a busy machine does not matter.
    assert whole < max(3.2 * half, 0.25)


def test_weights_of_one_s_own_are_held_against_their_digest(tmp_path):
    (tmp_path / "pii.safetensors").write_bytes(b"other")
    config = PiiDetector.config_type(weights=str(tmp_path / "pii.safetensors"), weights_sha256="0" * 64)
    with pytest.raises(WeightsError, match="SHA-256"):
        PiiDetector(config).load()
    with pytest.raises(ValueError, match="both or neither"):
        PiiDetector.config_type(weights="x")


def test_a_long_text_is_searched_to_its_end(full):
    text = "it rained again and nothing happened for a while. " * 900 + "Please ask Maria Lopez."
    score = full.score_many([text])[0]
    assert score.covered == 1.0
    assert any(text[span.start : span.end] == "Maria Lopez" for span in score.spans)


def test_what_was_not_looked_at_is_told(full):
    score = full.score_many(["999-555-0100\n" * 1_000])[0]
    assert score.covered < 1.0
    assert score.label == "error"
    assert not score.flagged


def test_a_finding_beyond_the_share_that_is_covered_still_flags(patterns):
    text = "123456789 " * 6_000 + " 4111 1111 1111 1111"
    assert patterns.score_many([text])[0].flagged
