"""An empty line ends each list of the documentation. Without it, Markdown adds the next paragraph to the last item."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]
_FENCE = re.compile(r"^( *)(```|~~~).*?^ *\2", re.MULTILINE | re.DOTALL)
_ITEM = re.compile(r" *([-*]|\d+\.) ")
_PARAGRAPH = re.compile(r"[^\s|#<]")


def joined(text):
    """Return the lines at the left margin that directly follow a list item."""
    found, in_list = [], False
    for line in _FENCE.sub("", text).splitlines():
        if in_list and _PARAGRAPH.match(line) and not _ITEM.match(line):
            found.append(line)
        in_list = bool(_ITEM.match(line)) or (in_list and line.startswith(" "))
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_paragraph_after_a_list_begins_after_an_empty_line(page):
    assert joined(page.read_text(encoding="utf-8")) == []


def test_the_check_finds_a_paragraph_that_joins_a_list():
    assert joined("- one\n  more\n**Bold.** next\n\nfine\n- two\n\nfine") == ["**Bold.** next"]
