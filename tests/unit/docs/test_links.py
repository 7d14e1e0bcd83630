"""Every relative link of the documentation leads to a file, and every anchor to a heading of that file."""

import re
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PAGES = [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md")), *sorted((ROOT / "deploy").rglob("*.md"))]
_FENCE = re.compile(r"^(```|~~~).*?^\1", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"(`+).+?\1")
_LINK = re.compile(r"\[(?:[^\[\]]|\[[^\]]*\])*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} (.+?)\s*$", re.MULTILINE)


def anchors(text):
    """Return the anchors that GitHub gives the headings of a page."""
    found = Counter()
    for heading in _HEADING.findall(_FENCE.sub("", text)):
        words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", words.lower()).replace(" ", "-")
        yield f"{slug}-{found[slug]}" if found[slug] else slug
        found[slug] += 1


def links(text):
    """Return the link targets of a page, without links in code and links to other sites."""
    shown = _CODE.sub("code", _FENCE.sub("", text))
    return [target for target in _LINK.findall(shown) if not re.match(r"[a-z]+:", target)]


def broken(page):
    for target in links(page.read_text(encoding="utf-8")):
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        if not file.exists() or ROOT not in (file, *file.parents):
            yield f"{target}: no such file"
        elif anchor and anchor not in anchors(file.read_text(encoding="utf-8")):
            yield f"{target}: no such heading"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page):
    assert list(broken(page)) == []


def test_links_are_found_and_anchors_made_as_github_makes_them():
    page = "# `[kafka]`\n## What each alert means, and what to do\n## A\n## A\n```\n# no [x](gone.md)\n```\n[a [b]](x.md#a) `[c](y.md)`"
    assert list(anchors(page)) == ["kafka", "what-each-alert-means-and-what-to-do", "a", "a-1"]
    assert links(page) == ["x.md#a"]


def test_there_are_links_to_check():
    assert sum(len(links(page.read_text(encoding="utf-8"))) for page in PAGES) > 20
