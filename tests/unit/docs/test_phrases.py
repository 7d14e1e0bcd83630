"""What people read uses the field's terms: no phrase of the list below in pages, comments, docstrings, errors and labels."""

import re
from pathlib import Path
from typing import NamedTuple

import pytest
from support.prose import ROOT, Passage, passages, repository_files

#: The changelog records past wording; tests are read by their authors.
UNREAD = ("CHANGELOG.md", "tests/")
#: Modules whose strings are texts that detectors learn from or are measured on; their docstrings and comments are prose.
TEXTS = ("detectors/train/", "detectors/evaluate/", "weir/sentinel/prompts.py")


class Phrase(NamedTuple):
    """A pattern, what to write in its stead, and an example that must be found."""

    pattern: str
    instead: str
    example: str


GLOSSARY = (
    Phrase(r"\bow(?:e|es|ed|ing)\b", "expect, expected", "verdicts that are owed"),
    Phrase(r"\bsettl(?:e|es|ed|ing)\b", "complete, completed; acknowledge", "a late verdict settles it"),
    Phrase(r"\bdebts?\b", "missing verdicts", "the debt is paid"),
    Phrase(r"\b(?:tells?|told|telling)\b", "notify, state, report, return", "whoever is to be told"),
    Phrase(r"\bnews\b(?! (?:text|event|site|article|report)s?\b)", "notification, change", "more evidence is no news"),
    Phrase(r"\bsilent\b", "inactive; for a loss: unrecorded", "a silent source"),
    Phrase(r"\bsilence of\b", "inactive source, inactive detector", "the silence of a source"),
    Phrase(
        r"\bnearest topic\b|\btopics? (?:that|which) (?:grew|chang)|\bchanges? of topics\b|\bnear(?:ness)? to \w* ?topics?\b"
        r"|\btopics? of (?:a stream|the reference|each event|the prompts|texts)\b|\bknown topics\b|\btopics?' cent",
        "cluster",
        "the topic that grew most",
    ),
    Phrase(r"\blog[- \n]+time\b", "event time, watermark", "windows of log time"),
    Phrase(r"\b(?:comes?|coming|came) again\b", "is a duplicate, is retried", "a record that comes again"),
    Phrase(
        r"\b(?:a|the|no|any|every|each|some|even|are|of) repeats?\b|\brepeats (?:are|change|of|to)\b"
        r"|\brepetitions? (?:change|of an? (?:event|record))",
        "duplicate, retry",
        "a repeat changes nothing",
    ),
    Phrase(r"\bwhat (?:comes|came) after\b", "late events, out-of-order events", "what comes after is late"),
    Phrase(r"\bsenders?\b(?! task)", "producer, client", "the sender tries again"),
    Phrase(r"\breaders? of (?:a|an|the|its|what)\b", "consumer", "the one reader of what fires"),
    Phrase(r"\bplaces?\b", "position, slot, partition leader", "loses its place in the group"),
    Phrase(r"\bwhat (?:it|they|he|she) (?:knew|reads? again)\b", "snapshot, changelog, restore", "what it knew before"),
    Phrase(r"\b(?:hears?|heard|hearing)\b", "receive; health check, liveness, readiness", "a source that was heard"),
    Phrase(r"\bjudg(?:e|es|ed|ing|ements?)\b", "review, evaluate, decide", "a judgement of a person"),
    Phrase(
        r"\bverdict (?:on|about) (?:a|the|each) (?:process|component)\b", "health check", "the verdict on a process"
    ),
    Phrase(r"\brate on ordinary prompts\b", "false-positive rate", "the rate on ordinary prompts"),
)

RULES = (
    Phrase(r"\bstands?\b(?![- ](?:alone|in\b))|\bstood\b", "is, is written, contains", "it stands on the topic"),
    Phrase(r"\bbears?\b|\bbore\b", "has, contains", "a name that the request bears"),
    Phrase(
        r"\b(?:whoever|whomever)\b|\bone who\b|\bwho(?:se)? is (?:told|refused)\b",
        "the client, the operator, the caller",
        "whoever waits",
    ),
)

BEFORE = (
    Phrase(
        r"\bWhose name the request\b",
        "Checks Host, session and Origin, and adds security headers.",
        "Whose name the request bears",
    ),
    Phrase(
        r"\bcosts no memory\b",
        "Waiting clients hold no request body in memory.",
        "so that who waits for one costs no memory",
    ),
    Phrase(
        r"\bJSON out\b",
        "Query parsing, JSON responses and error mapping.",
        "Parameters in, JSON out, and what a fault is told as",
    ),
    Phrase(
        r"\bgives its connection back\b",
        "Close rejected connections to free a `maxconn` slot.",
        "Who is refused gives its connection back",
    ),
    Phrase(r"\bends first first\b", "ordered by expiry", "the one that ends first first"),
    Phrase(r"\bsettle the debt\b", "Late verdicts clear this alert.", "late verdicts settle the debt"),
    Phrase(
        r"\brepeat changes nothing\b",
        "Delivery is at least once; processing is idempotent.",
        "At least once, and a repeat changes nothing.",
    ),
    Phrase(
        r"\bEffects in one order\b",
        "Each stage computes, publishes and waits, …",
        "Effects in one order: computed, published",
    ),
    Phrase(
        r"\bmutes the one by the other\b|\bends as a warning\b",
        "its warning is closed and a critical alert fires",
        "mutes the one by the other",
    ),
    Phrase(
        r"\bmust be among them\b",
        "needs drift plus 1 other detector; firing: …",
        "agree: 3 of 2 detectors (…), drift must be among them",
    ),
    Phrase(
        r"\bis past its limit\b|\bfurther from the reference than\b",
        "Prompt drift on M: … Statistic …, limit …",
        "30,401 is past its limit 1,000",
    ),
    Phrase(r"\bowed and given\b", "detector coverage", "verdicts owed and given"),
    Phrase(
        r"\bhad no partitions for up to\b",
        "the reason in one line; the story in an ADR",
        "A worker had no partitions for up to five minutes",
    ),
)

PHRASES = (*GLOSSARY, *RULES, *BEFORE)

#: What the list does not mean, removed before the search: a pattern, the reason, an example.
ALLOWED = (
    (
        r"^## silence of a detector$",
        "the runbook's section of the alert `silence`, an anchor that alerts carry",
        "## silence of a detector",
    ),
    (
        r"\bin (?:\w+ )?place\b|\b(?:takes?|took|taking) place\b",
        "English: at the same position; happens",
        "written in place",
    ),
    (
        r"\bnames?,? (?:and )?places?\b|\bplaces? (?:of birth|names?)\b",
        "locations, which the PII detector finds",
        "names, places and dates",
    ),
    (r"\b(?:as|where) (?:it|they|this) stands?\b", "English: in its present state", "the log as it stands"),
    (r"\bread(?:ing)? of the\b", "the verb", "a read of the log"),
    (r"(?<=\|)\w+(?=\|)", "a word of a regular expression that matches users' text", "(?:Way|Place|Square)"),
)


def cleaned(text):
    """Return `text` without what is allowed, its lines kept."""
    for pattern, _reason, _example in ALLOWED:
        text = re.sub(
            pattern, lambda found: "§" + "\n" * found.group().count("\n"), text, flags=re.MULTILINE | re.IGNORECASE
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


@pytest.mark.parametrize("allowed", ALLOWED, ids=lambda allowed: allowed[2])
def test_each_exception_has_a_reason_and_is_passed_over(allowed):
    _pattern, reason, example = allowed
    assert reason
    assert list(found_in(Passage(1, example))) == []


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
def test_code_is_passed_over_and_prose_is_read(name, lines, tmp_path):
    path = tmp_path / name
    path.write_text(SOURCES[name], encoding="utf-8")
    assert sorted(line for passage in passages(path) for line, _found, _instead in found_in(passage)) == lines


def test_strings_of_texts_are_no_prose(tmp_path):
    path = tmp_path / Path("texts.py")
    path.write_text('"""Texts."""\nTEXT = "I was told so"\n', encoding="utf-8")
    assert [list(found_in(passage)) for passage in passages(path, strings=False)] == [[]]
