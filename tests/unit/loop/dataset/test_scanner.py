"""The scanner with the installed detectors: it returns no spans of a text unless all personal data was found."""

from stream.loop.dataset.scanner import Scanner
from stream.loop.dataset.texts import masked


def test_a_text_with_more_personal_data_than_pii_reports_has_no_spans():
    people = " ".join(f"Call Maria Gonzalez in Berlin or Peter Schmidt in {city}." for city in ("Rome", "Oslo") * 80)
    addresses = " ".join(f"u{number}@ab.de" for number in range(600))
    short = "Write to ada@example.org."
    found = Scanner({"injection": {"second_stage": False}}).personal([people, addresses, short])
    assert found[:2] == [None, None]
    assert masked(short, found[2]) == "Write to <EMAIL_ADDRESS>."
