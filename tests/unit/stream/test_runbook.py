"""The runbook: every alert has a line, and the document says the same."""

import re
from pathlib import Path

import pytest

from detectors.registry import STREAM, TEXT
from stream.ledger.decisions import ITS_DETECTORS
from stream.runbook import RUNBOOK, runbook_anchor, runbook_line
from stream.stages.score.records import FINDING_DETECTORS

ROOT = Path(__file__).parents[3]
ROW = re.compile(r"^\| `(?P<name>[a-z ]+)` \|.*\| (?P<do>[^|]+) \|$", re.MULTILINE)


def documented():
    page = (ROOT / "docs/operate.md").read_text()
    table = page[page.index("## What each alert means") :].split("\n\n")[1]
    return {row["name"]: row["do"] for row in ROW.finditer(table)}


def test_every_detector_that_can_alert_has_a_line_and_no_line_is_of_none():
    alerting = {name for name in TEXT if name in FINDING_DETECTORS} | set(STREAM) | set(ITS_DETECTORS) | {"silence"}
    assert {name for name in RUNBOOK if " " not in name} == alerting


def test_the_document_has_a_row_for_each_and_says_the_same():
    assert documented() == RUNBOOK


@pytest.mark.parametrize("line", RUNBOOK.values())
def test_a_line_is_one_sentence_that_fits_in_an_alert(line):
    assert line.endswith(".")
    assert ". " not in line
    assert len(line) <= 200


def test_the_silence_of_a_source_and_of_a_detector_have_lines_of_their_own():
    assert runbook_line("silence", "gateway-1f") == RUNBOOK["silence"]
    assert runbook_line("silence", "detector:pii") == RUNBOOK["silence of a detector"]
    assert runbook_line("of another version") == ""


PAGE = ROOT / "docs" / "runbook.md"


def sections(text):
    """Return {anchor: text} of the second-level headings, anchors as GitHub makes them."""
    parts = re.split(r"^## (.+)$", text, flags=re.MULTILINE)
    return {name.lower().replace(" ", "-"): body for name, body in zip(parts[1::2], parts[2::2], strict=True)}


@pytest.mark.parametrize("name", RUNBOOK)
def test_the_page_has_a_section_for_each_with_what_to_do(name):
    feature = "detector:pii" if name == "silence of a detector" else ""
    anchor = runbook_anchor(name.split()[0], feature)
    assert RUNBOOK[name] in sections(PAGE.read_text())[anchor]


def test_what_is_unknown_leads_to_no_section():
    assert runbook_anchor("new") == ""
