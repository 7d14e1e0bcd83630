"""Messages, manual pages and documents of a Debian system as harmless training texts."""

import gzip
import struct

import pytest

from detectors.train.system_texts import system_examples
from detectors.train.templates import read_source

HEADER = ("", "Content-Type: text/plain; charset=UTF-8\n")
PAGE = '.TH TOOL 1 "2026" "tool"\n.SH NAME\ntool \\- print \\fBlines\\fP\n' + "Reads a file and prints its lines. " * 20


def write_catalog(path, messages):
    """Write a catalog in GNU's binary format (gettext manual, section 11.3)."""
    pairs = [(key.encode(), value.encode()) for key, value in sorted([HEADER, *messages])]
    start, tables, body = 28 + 16 * len(pairs), ([], []), b""
    for side in (0, 1):
        for pair in pairs:
            tables[side].append(struct.pack("<II", len(pair[side]), start + len(body)))
            body += pair[side] + b"\0"
    head = struct.pack("<7I", 0x950412DE, 0, len(pairs), 28, 28 + 8 * len(pairs), 0, 0)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(head + b"".join(tables[0] + tables[1]) + body)


@pytest.fixture
def share(tmp_path):
    for language in ("de", "fr"):
        messages = [(f"cannot open file number {n}", f"{language}: Datei Nummer {n} fehlt hier") for n in range(9)]
        write_catalog(tmp_path / f"locale/{language}/LC_MESSAGES/tool.mo", messages)
    (tmp_path / "man/man1").mkdir(parents=True)
    (tmp_path / "man/man1/tool.1.gz").write_bytes(gzip.compress(PAGE.encode()))
    (tmp_path / "doc/tool").mkdir(parents=True)
    (tmp_path / "doc/tool/README").write_text("Build the tool, then install it. " * 20, encoding="utf-8")
    return tmp_path


def test_texts_of_one_program_are_harmless_and_in_one_split(share):
    examples = list(system_examples(share=share))
    harmless = [example for example in examples if example.source != "system_planted"]
    assert {example.source for example in harmless} == {"messages", "manual", "system_docs"}
    assert len({example.split for example in examples}) == 1
    assert all(example.labels[:3] == (0.0, 0.0, 0.0) for example in harmless)
    assert examples == list(system_examples(share=share))


def test_an_attack_is_added_to_a_part_of_the_texts(share):
    examples = list(system_examples(share=share))
    attacks = read_source("second_styles").templates["attack"]  # of the split to which the name "tool" belongs
    planted = [example for example in examples if example.source == "system_planted"]
    assert 0.2 < len(planted) / (len(examples) - len(planted)) < 0.3
    assert all(example.labels[1] == 1.0 for example in planted)
    assert any(attack in planted[0].text for attack in attacks)


def test_messages_are_read_in_the_language_of_the_catalog_and_in_english(share):
    texts = [example.text for example in system_examples(share=share) if example.source == "messages"]
    assert any("cannot open file" in text for text in texts)
    assert any("fr: Datei" in text for text in texts)
    assert any("\n" in text for text in texts)


def test_manual_pages_are_read_without_markup(share):
    texts = [example.text for example in system_examples(share=share) if example.source == "manual"]
    assert not any("\\f" in text or ".TH" in text or ".SH" in text for text in texts)
    assert any("Reads a file" in text for text in texts)


def test_a_system_without_these_folders_has_no_texts(tmp_path):
    assert not list(system_examples(share=tmp_path))
