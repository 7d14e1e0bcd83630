"""Commands of the documentation: each subcommand and option of `weir` exists, and what deletes data keeps the rest."""

import os
import re
import subprocess
import time
from pathlib import Path

import click
import pytest

from weir.cli import main

ROOT = Path(__file__).parents[3]
#: CHANGELOG.md is left out, because it also names removed commands.
PAGES = [
    page
    for page in [
        *sorted(ROOT.glob("*.md")),
        *sorted((ROOT / "docs").rglob("*.md")),
        *sorted((ROOT / "deploy").rglob("*.md")),
    ]
    if page.name != "CHANGELOG.md"
]
#: A command at the start of a line, of code in a paragraph, or after `--` of kubectl.
_WEIR = re.compile(r"(?:^|`|^\$ |-- )(?:\.venv/bin/)?weir ([a-z](?:[^`\n\\]|\\\n)*)", re.MULTILINE)
#: The end of a command in its line: a comment, another command, or the file that its output goes to.
_END = re.compile(r" +#| [|&>]|;")
_HOUR = 3600
_DAY = 24 * _HOUR


def test_the_daily_deletion_of_the_archive_keeps_no_file_for_more_than_90_days(tmp_path):
    """A file that is kept must be younger than 89 days, because the command runs again after a day."""
    (command,) = re.findall(
        r"`(find \.weir/archive -type f -mtime \+\d+ -delete)`", (ROOT / "docs" / "loop.md").read_text()
    )
    archive = tmp_path / ".weir" / "archive"
    archive.mkdir(parents=True)
    for name, age in {"old": 89 * _DAY + _HOUR, "young": 89 * _DAY - _HOUR}.items():
        (archive / name).touch()
        os.utime(archive / name, (time.time() - age,) * 2)
    subprocess.run(command.split(), cwd=tmp_path, check=True)
    assert [path.name for path in archive.iterdir()] == ["young"]


def unknown(text):
    """Yield each subcommand and option of a page that `weir` does not have."""
    for found in _WEIR.findall(text):
        words = _END.split(found.replace("\\\n", " "))[0].split()
        command, names = main, list(words)
        while isinstance(command, click.Group) and names and re.fullmatch("[a-z][a-z-]*", names[0]):
            name = names.pop(0)
            command = command.get_command(click.Context(command), name)
            if command is None:
                yield f"weir {' '.join(words)}: no subcommand {name}"
        own = {option for one in command.params for option in one.opts} if command else set()
        options = {word.strip("[]").partition("=")[0] for word in words if word.strip("[").startswith("--")}
        yield from (f"weir {' '.join(words)}: no option {one}" for one in sorted(options - own - {"--help"}) if command)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_and_option_exists(page):
    assert list(unknown(page.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("Run `weir alerts --follow`, then `weir dlq replay 17 --dry-run`.", ""),
        ("```\nweir keys create --tenant acme > key   # --tenants\n```", ""),
        ("```\n.venv/bin/weir alerts --sinse 1h\n```", "weir alerts --sinse 1h: no option --sinse"),
        ("`weir alarms`", "weir alarms: no subcommand alarms"),
        ("`weir dlq lst --stage score`", "weir dlq lst --stage score: no subcommand lst"),
        ("kubectl exec ledger-0 -- weir stats", "weir stats: no subcommand stats"),
    ],
)
def test_unknown_commands_and_options_are_found(text, complaint):
    assert "".join(unknown(text)) == complaint


def test_there_are_commands_to_check():
    assert sum(len(_WEIR.findall(page.read_text(encoding="utf-8"))) for page in PAGES) > 150
