"""Extract the prose of the repository's files: pages, comments, docstrings, and strings of more than one word."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
PRODUCT = ("detectors", "serving", "stream", "weir")
TEXT_SUFFIXES = {
    ".cfg",
    ".css",
    ".html",
    ".js",
    ".md",
    ".properties",
    ".py",
    ".sh",
    ".toml",
    ".yaml",
    ".yml",
    ".Dockerfile",
}
#: Folders of third-party files, generated files, and files that are written at run time.
SKIPPED = ("vendor", "weights", "__pycache__", "node_modules", "golden", "official", "schemas", "secrets")

_FENCE = re.compile(r"^[ \t]*```.*$", re.MULTILINE)
#: A comment after text in which no double quotation mark is open.
_COMMENT = re.compile(r'(?:[^"#]|"(?:\\.|[^"\\])*")*#(.*)')
#: A string of a Python module, with three or one quotation marks, or a comment.
_PYTHON = re.compile(
    r'"""(?:\\.|[^\\])*?"""|' r"'''(?:\\.|[^\\])*?'''|" r'"(?:\\.|[^"\\\n])*"|' r"'(?:\\.|[^'\\\n])*'|(#[^\n]*)",
    re.DOTALL,
)
_CODE = re.compile(r"(`{1,2})[^`]{1,400}\1")
_LINK_TARGET = re.compile(r"\]\([^)]*\)")
_SQL = re.compile(r"\b(?:SELECT|INSERT|UPDATE|DELETE|CREATE|WHERE|VALUES|FROM)\b")
_NAMES_ALONE = re.compile(r"^[ \t]*\*{0,2}\w+(?:, \*{0,2}\w+)*$", re.MULTILINE)
_DOCTEST = re.compile(r"^\s*(?:>>>|\.\.\.) .*$", re.MULTILINE)
_JS = re.compile(
    r"//[^\n]*|/\*.*?\*/|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'|`(?:\\.|\$\{(?:[^{}]|\{[^{}]*\})*\}|[^`\\])*`",
    re.DOTALL,
)
_ANNOTATION = re.compile(r"\s+(?:summary|description): ")
_JS_EXPRESSION = re.compile(r"\$\{(?:[^{}]|\{[^{}]*\})*\}")


class Passage(NamedTuple):
    """A piece of text, and the line on which it begins."""

    line: int
    text: str

    def line_of(self, match: re.Match[str]) -> int:
        """Return the line of a match; for a string in several pieces, the line of the first piece."""
        return self.line + self.text.count("\n", 0, match.start())


def repository_files() -> Iterator[Path]:
    """Yield the files of the repository that contain text, in order."""
    folders = [ROOT / name for name in (*PRODUCT, "deploy", "docs", "tests")]
    found = [path for path in ROOT.iterdir() if path.is_file()]
    found += [path for folder in folders for path in folder.rglob("*") if path.is_file()]
    for path in sorted(found):
        parts = path.relative_to(ROOT).parts
        if not set(SKIPPED) & set(parts) and (path.suffix in TEXT_SUFFIXES or path.name == "Makefile"):
            yield path


def passages(path: Path, *, code: bool = False, strings: bool = True) -> Iterator[Passage]:
    """Yield the passages of a file; `code` keeps code in backticks, `strings` a Python module's strings besides docstrings."""
    source = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        found = _python(source, strings=strings)
    elif path.suffix == ".js":
        found = _script(source)
    elif path.suffix in {".md", ".html"}:
        found = iter([Passage(1, _FENCE.sub("", _LINK_TARGET.sub(_blank, source)))])
    else:
        found = _comments(source)
    for passage in found:
        yield passage if code else Passage(passage.line, _CODE.sub(_blank, passage.text))


def _blank(match: re.Match[str]) -> str:
    """Return a mark with as many lines as the matched code."""
    return "§" + "\n" * match.group().count("\n")


def _python(source: str, *, strings: bool) -> Iterator[Passage]:
    for match in _PYTHON.finditer(source):
        if match[1]:
            yield Passage(source.count("\n", 0, match.start()) + 1, match[1])
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docstrings = set()
    for node in ast.walk(ast.parse(source)):  # a module, class or function before its docstring
        if isinstance(node, documented) and _has_docstring(node):
            docstrings.add(node.body[0].value)
        if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
            continue
        if node in docstrings:
            yield Passage(node.lineno, _NAMES_ALONE.sub("", _DOCTEST.sub("", node.value)))
        elif strings and " " in node.value.strip() and not _SQL.search(node.value):
            yield Passage(node.lineno, node.value)


def _has_docstring(node: ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    first = node.body[0] if node.body else None
    return isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str)


def _script(source: str) -> Iterator[Passage]:
    for match in _JS.finditer(source):
        text = match.group()
        if text.startswith("`"):
            text = _JS_EXPRESSION.sub(_blank, text[1:-1])
        if " " in text:
            yield Passage(source.count("\n", 0, match.start()) + 1, text)


def _comments(source: str) -> Iterator[Passage]:
    """Yield comments, and the texts of Prometheus' alerts."""
    for number, line in enumerate(source.splitlines(), 1):
        shown = _ANNOTATION.match(line)
        comment = _COMMENT.match(line)
        if shown or comment:
            yield Passage(number, line if shown else comment[1])
