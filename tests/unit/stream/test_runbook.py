"""The runbook: every alert has a line, and docs/runbook.md contains the line."""

import re
import shlex
from pathlib import Path

import click
import pytest

from detectors.registry import ALERTING, alert_text
from stream.ledger.decisions import OWN_DETECTORS
from stream.runbook import RUNBOOK, runbook_anchor, runbook_line
from weir.cli import main

ROOT = Path(__file__).parents[3]


LINES = {name: alert_text(name).runbook for name in ALERTING} | RUNBOOK


def test_every_alert_of_weir_about_itself_has_a_line():
    assert {name.partition(" ")[0] for name in RUNBOOK} == {*OWN_DETECTORS, "silence"}


@pytest.mark.parametrize("line", LINES.values())
def test_a_line_is_one_sentence_that_fits_in_an_alert(line):
    assert line.endswith(".")
    assert ". " not in line
    assert len(line) <= 200


def test_an_inactive_source_and_an_inactive_detector_have_their_own_lines():
    assert runbook_line("silence", "gateway-1f") == RUNBOOK["silence"]
    assert runbook_line("silence", "detector:pii") == RUNBOOK["silence of a detector"]
    assert runbook_line("of another version") == ""


PAGE = (ROOT / "docs" / "runbook.md").read_text()


@pytest.mark.parametrize("name", LINES)
def test_the_page_has_a_section_with_the_line_for_each_alert(name):
    """GitHub's anchor of a heading is the heading in lower case with hyphens."""
    feature = "detector:pii" if name == "silence of a detector" else ""
    heading = runbook_anchor(name.split()[0], feature).replace("-", " ")
    section = PAGE.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]
    assert LINES[name] in section, f"add a section `## {heading}` with this line under *Do* to docs/runbook.md"


def test_the_line_about_a_gap_depends_on_its_reason():
    assert [reason for reason in ("full", "disk", "damaged", "oversize") if f"`{reason}`" not in RUNBOOK["gap"]] == []


@pytest.mark.parametrize(
    "text",
    sorted({text for step in re.findall(r"\*\*Do\.\*\*[^#]*", PAGE) for text in re.findall(r"`(weir [^`]+)`", step)}),
)
def test_a_command_in_a_step_has_all_required_parameters(text):
    _, *words = shlex.split(text)
    command, context = main, click.Context(main)
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        command = command.get_command(context, words.pop(0))
        assert command is not None, text
    try:
        command.make_context("weir", words)
    except click.MissingParameter as error:
        pytest.fail(f"{text}: {error.format_message()}")
    except (click.BadParameter, click.exceptions.Exit):  # a placeholder, such as OFFSET for a number
        return
