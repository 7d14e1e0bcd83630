"""What people read uses the field's terms: no phrase of phrases.toml in pages, comments, docstrings, errors and labels."""

import re
import tomllib
from pathlib import Path
from typing import NamedTuple

import pytest
from support.prose import ROOT, Passage, passages, repository_files

#: Files that are not checked: tests, which only developers read.
UNREAD = ("tests/",)
#: Modules whose strings are texts that detectors learn from or are measured on; their docstrings and comments are prose.
TEXTS = ("detectors/train/", "detectors/evaluate/", "weir/sentinel/prompts.py", "weir/sentinel/pairs.py")


class Phrase(NamedTuple):
    """A pattern, the text to write instead (or the reason why the pattern is allowed), and an example that must match."""

    pattern: str
    instead: str
    example: str


LISTS = tomllib.loads((Path(__file__).parent / "phrases.toml").read_text(encoding="utf-8"))
PHRASES = [Phrase(*entry.values()) for entry in LISTS["phrase"]]
ALLOWED = [Phrase(*entry.values()) for entry in LISTS["allowed"]]


def cleaned(text):
    """Return `text` with each allowed phrase replaced by a mark and with the same line breaks."""
    for allowed in ALLOWED:
        text = re.sub(
            allowed.pattern,
            lambda found: "§" + "\n" * found.group().count("\n"),
            text,
            flags=re.MULTILINE | re.IGNORECASE,
        )
    return text


def found_in(passage):
    """Yield (line, phrase found, what to write instead) of a passage."""
    clean = passage._replace(text=cleaned(passage.text))
    for phrase in PHRASES:
        for match in re.finditer(phrase.pattern, clean.text, re.IGNORECASE):
            yield clean.line_of(match), match.group(), phrase.instead


def read():
    """Yield the files to check."""
    for path in repository_files():
        name = str(path.relative_to(ROOT))
        if not name.startswith(UNREAD):
            yield path


def complaints(path):
    """Yield one line for each phrase in a file."""
    name = str(path.relative_to(ROOT))
    for passage in passages(path, strings=not name.startswith(TEXTS)):
        for line, phrase, instead in found_in(passage):
            yield f"{name}:{line}: {phrase!r}; write: {instead}"


def test_what_people_read_uses_the_terms_of_the_field():
    found = [complaint for path in read() for complaint in complaints(path)]
    assert found == [], "\n" + "\n".join(found)


@pytest.mark.parametrize("phrase", PHRASES, ids=lambda phrase: phrase.example[:40])
def test_each_phrase_is_found(phrase):
    assert phrase.instead in [instead for _line, _found, instead in found_in(Passage(1, phrase.example))]


@pytest.mark.parametrize("allowed", ALLOWED, ids=lambda allowed: allowed.example)
def test_each_exception_has_a_reason_and_is_ignored(allowed):
    assert allowed.instead
    assert list(found_in(Passage(1, allowed.example))) == []


SOURCES = {
    "a.py": '"""Doc\n\nof log time."""\nerror = "a silent source"  # who is told, at log time\nname = "told"\n',
    "a.js": "// a judge\nconst text = html`<p>${row.owed} of what is\n owed</p>`;\nrow.settled = 'told';\n",
    "a.md": "`owed` is a field,\nit is owed. [x](told.md)\n\n```\nmake up\n```\n\nHe told.\n",
    "a.yml": "owed: 1  # is owed\nannotations:\n  summary: 3 owed verdicts\n",
}


@pytest.mark.parametrize(
    ("name", "lines"),
    [("a.py", [3, 4, 4, 4, 4]), ("a.js", [1, 3]), ("a.md", [2, 8]), ("a.yml", [1, 3])],
    ids=str,
)
def test_code_is_ignored_and_prose_is_checked(name, lines, tmp_path):
    path = tmp_path / name
    path.write_text(SOURCES[name], encoding="utf-8")
    assert sorted(line for passage in passages(path) for line, _found, _instead in found_in(passage)) == lines


def test_strings_in_modules_of_texts_are_not_checked(tmp_path):
    path = tmp_path / Path("texts.py")
    path.write_text('"""Texts."""\nTEXT = "I was told so"\n', encoding="utf-8")
    assert [list(found_in(passage)) for passage in passages(path, strings=False)] == [[]]
