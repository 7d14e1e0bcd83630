"""The examples in the help of each command and in the pages, and the numbers that its options accept."""

import re
import shlex

import click
import pytest
from support.prose import ROOT

from weir.cli import main


def _commands(command, context):
    yield context, command
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            sub = command.get_command(context, name)
            yield from _commands(sub, click.Context(sub, parent=context, info_name=name))


COMMANDS = {
    context.command_path: command for context, command in _commands(main, click.Context(main, info_name="weir"))
}


def _texts():
    """Yield the help of each command, and the code blocks of each page, with their names."""
    for path, command in COMMANDS.items():
        yield path, command.help or ""
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))):
        for block in re.findall(r"^```\w*\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL):
            yield page.name, re.sub(r" #.*", "", block)


def _examples():
    for path, content in _texts():
        for line in content.replace("\\\n", " ").splitlines():
            for text in re.split(r"\s{2,}| [<>|] | && ", line.strip().removeprefix("Example: ")):
                if re.match(r"(WEIR_\w+=\S+ )*weir ", text):
                    words = shlex.split(text)
                    yield pytest.param(words[words.index("weir") + 1 :], id=f"{path}: {text}")


@pytest.mark.parametrize("arguments", [*_examples()])
def test_an_example_has_every_needed_option_and_no_unknown_one(arguments, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    command, rest = main, arguments
    while isinstance(command, click.Group) and rest and not rest[0].startswith("-"):
        command, rest = command.get_command(click.Context(command), rest[0]), rest[1:]
        assert command is not None, arguments
    for name in rest:
        if name.endswith((".jsonl", ".csv", ".key")):
            (tmp_path / name).touch()
    if not isinstance(command, click.Group):
        command.make_context("weir", list(rest)).close()


@pytest.mark.parametrize(
    "command",
    [pytest.param(command, id=path) for path, command in COMMANDS.items() if path.count(" ") > 1],
)
def test_the_list_of_a_groups_commands_has_whole_sentences(command):
    width = 80 - len("  unsilence  ") - 2
    assert not command.get_short_help_str(limit=width).endswith("...")


@pytest.mark.parametrize(
    ("command", "option"),
    [
        pytest.param(command, option, id=f"{path} {option.opts[0]}")
        for path, command in COMMANDS.items()
        for option in command.params
        if isinstance(option.type, click.FloatRange)
    ],
)
@pytest.mark.parametrize("value", ["nan", "inf"])
def test_a_number_is_finite(command, option, value):
    with pytest.raises(click.BadParameter, match=value):
        option.type_cast_value(click.Context(command), value)


@pytest.mark.parametrize(
    ("command", "option"),
    [
        pytest.param(command, option, id=f"{path} {option.name}")
        for path, command in COMMANDS.items()
        for option in command.params
        if isinstance(option.type, click.IntRange | click.FloatRange)
    ],
)
def test_the_error_about_a_text_in_the_place_of_a_number_names_the_range(command, option):
    with pytest.raises(click.BadParameter, match=r"'ten' is not a (whole )?number in the range .*x(<|>)"):
        option.type.convert("ten", option, click.Context(command))
