"""References to documents in files of the repository: each document exists in the repository."""

import re
from pathlib import Path

import pytest
from support.prose import ROOT, Passage, passages, repository_files

#: Files that a command writes when it runs.
WRITTEN = {
    "MODEL_CARD.md": "by `weir train-detector`",
    "card.md": "of datasets and versions",
    "gate.md": "by `weir gate`",
    "settings.md": "the example of `weir config --reference`",
}
#: Folders against which a page may name another page.
FOLDERS = ("", "docs", "docs/design", "docs/adr")

_PAGE = re.compile(r"(?<![\w.@/*-])((?:[\w.-]+/)*[\w.-]+\.md)\b")
_PATH = re.compile(r"(?<![\w./-])(?:detectors|stream|serving|weir|tests|deploy)/[\w/.-]*\w")
#: Paths in pages that are no files of the repository.
EXAMPLES = {
    "detectors/text/shouting.py": "an example of docs/add-a-detector.md",
    "detectors/streams/error_rate.py": "an example of docs/add-a-detector.md",
    "deploy/secrets": "written by deploy/secrets.sh",
    "deploy/secrets/kafka-user-score": "written by deploy/secrets.sh",
    "weir/replay": "the source of a replay's events",
}
_URL = re.compile(r"https?://")
_OUTSIDE = {
    re.compile(r"(?<!--data \.\./)\bshared/(?:docs|data)\b"): "name `DIR`, the folder of labelled sets",
    re.compile(r"\bdesign decisions? \d+"): "write docs/design/decisions.md and the number",
    re.compile(r"\btraps? \d+"): "write docs/design/traps.md and the number",
    re.compile(r"\b[Ii]ssue \d+"): "state what the issue asked for",
}


def is_known(name: str, page: Path, root: Path) -> bool:
    """Return whether the page `name`, cited in `page`, exists. Files other than pages cite the path from the root."""
    folders = [page.parent, *(root / folder for folder in FOLDERS)] if page.suffix == ".md" else [root]
    return any((folder / name).is_file() for folder in folders)


def unknown(page, passage, root=ROOT):
    """Yield (line, complaint) for each document that a passage of `page` cites and that does not exist."""
    for match in _PAGE.finditer(passage.text):
        name = match.group(1)
        is_link = _URL.search(passage.text, passage.text.rfind(" ", 0, match.start()) + 1, match.end())
        if not is_link and Path(name).name not in WRITTEN and not is_known(name, page, root):
            yield passage.line_of(match), f"{name} does not exist"
    for pattern, remedy in _OUTSIDE.items():
        for match in pattern.finditer(passage.text):
            yield passage.line_of(match), f"{match.group()!r}; {remedy}"


def cited():
    """Yield the files to check."""
    for path in repository_files():
        name = str(path.relative_to(ROOT))
        if not name.startswith("tests/unit/docs/"):
            yield path


def test_files_refer_only_to_documents_that_exist():
    found = [
        f"{path.relative_to(ROOT)}:{line}: {complaint}"
        for path in cited()
        for passage in passages(path, code=True)
        for line, complaint in unknown(path, passage)
    ]
    assert found == [], "\n" + "\n".join(found)


def test_pages_name_only_paths_that_exist():
    found = [
        f"{path.relative_to(ROOT)}:{passage.line_of(match)}: {match.group()}"
        for path in repository_files()
        if path.suffix == ".md" and path.name != "CHANGELOG.md"
        for passage in passages(path, code=True)
        for match in _PATH.finditer(passage.text)
        if match.group() not in EXAMPLES and not (ROOT / match.group()).exists()
    ]
    assert found == [], "\n" + "\n".join(found)


def test_the_check_reads_pages_and_programs():
    names = {str(path.relative_to(ROOT)) for path in cited()}
    assert {"README.md", "docs/operate.md", "docs/design/traps.md", "pyproject.toml", "Makefile"} <= names
    assert any(name.startswith("tests/chaos/") for name in names)


@pytest.mark.parametrize(
    ("line", "complaints"),
    [
        ("see [operate](operate.md#pii) and docs/runbook.md", 0),
        ("as conventions.md says", 1),
        ("https://example.org/absent.md is elsewhere", 0),
        ("design decision 7", 1),
        ("faults and trap 12", 1),
        ("weir eval --data ../shared/data --limit 0", 0),
        ("a folder laid out like shared/data", 1),
        ("Issue 5 names bias", 1),
    ],
)
def test_references_are_found_in_text(line, complaints):
    assert len(list(unknown(ROOT / "docs" / "page.md", Passage(1, line)))) == complaints


def test_a_program_cites_by_the_path_from_the_root():
    assert list(unknown(ROOT / "stream/a.py", Passage(1, "# docs/design/traps.md 1"))) == []
    assert len(list(unknown(ROOT / "stream/a.py", Passage(1, "# traps.md 1")))) == 1


def test_each_number_of_a_trap_is_unique():
    numbers = re.findall(r"^\| (\d+) \|", (ROOT / "docs/design/traps.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(numbers) > 50
    assert sorted(set(numbers)) == sorted(numbers)
