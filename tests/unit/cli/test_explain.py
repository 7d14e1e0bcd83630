"""``weir explain``: the verdicts that it explains, its text output, and its errors."""

import msgspec
import pytest
from click.testing import CliRunner
from support.doubles import create
from support.ledger_log import Log, end, gap, request, verdict

from stream.ledger.database_files import LedgerFiles
from stream.ledger.decisions import Decisions
from stream.ledger.queries.ledger_reader import LedgerReader
from stream.ledger.shard import Shard
from stream.wire import WordWeight
from weir.cli import main
from weir.cli.render.explanation import explanation_lines
from weir.errors import NotFoundError
from weir.operate.request_text import RequestText
from weir.quality.explaining import Explanation, explained, flagged_verdicts, request_of

TEXT = "Thanks a lot, you worthless\x1b[31m idiot"
WORDS = [(0, 6, -0.8), (7, 8, 0.05), (14, 17, 0.9), (18, 32, 2.0), (33, 38, 3.0)]
EXPLAINED = Explanation(
    event_id="r1/request",
    side="input",
    detector="toxicity",
    version="1",
    score=0.93,
    explained_by="1",
    explained_score=0.93,
    method="auto",
    attributions=tuple(WordWeight(start=start, end=end, weight=weight) for start, end, weight in WORDS),
    text=TEXT,
)


@pytest.fixture
def home(home):
    files, log = LedgerFiles(home / "ledger"), Log()
    files.directory.mkdir()
    shard, decisions = Shard(files.shard(0)), Decisions(files.decisions)
    question, answer = request("r1", 10.0), end("r1", 11.0, owed=("toxicity",))
    shard.apply(log.inference(question, answer, request("r2", 12.0), gap("s1", 4, 4, ("r5",))))
    flagged = [verdict(question, name, flagged=True, label=name) for name in ("toxicity", "pii")]
    shard.apply(log.verdicts(*flagged, verdict(answer, "toxicity")))
    yield home
    for part in (shard, decisions):
        part.close()


def drawn(**options):
    return [line.plain for line in explanation_lines(EXPLAINED, **options)]


def story(home, name="r1"):
    return LedgerReader(home / "ledger").request(name)


@pytest.mark.parametrize("name", ["r1", "r1/request"])
def test_flagged_verdicts_of_detectors_that_explain_are_found(home, name):
    (found,) = flagged_verdicts(story(home), name)
    assert (found.verdict.detector, found.location.event_id) == ("toxicity", "r1/request")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("r1/end", r"r1/end .*output toxicity 0\.10.*`weir show r1`.*`weir alerts"),
        ("r1/answer", "no event 'r1/answer'.*r1/request, r1/end"),
        ("r2", r"scores: none yet"),
        ("r5", "not delivered.*`weir show r5`"),
    ],
)
def test_an_event_without_a_flagged_verdict_is_an_error_with_a_remedy(home, name, message):
    with pytest.raises(NotFoundError, match=message):
        flagged_verdicts(story(home, request_of(name)), name)


@pytest.mark.parametrize(
    ("name", "message"),
    [("r9", "no request 'r9' in the ledger"), ("al_1", "`weir alerts --json`"), ("r1/end", "was not flagged")],
)
def test_the_command_prints_the_error_in_one_line(home, name, message):
    result = CliRunner().invoke(main, ["explain", name])
    assert result.exit_code == 1
    assert message in result.stderr
    assert not (home / "logs" / "access.log").exists()  # the access log is empty, because no text was read


def test_an_expired_text_is_named_with_its_offset(home):
    (found,) = flagged_verdicts(story(home), "r1")
    with pytest.raises(NotFoundError, match=r"weir\.inference/0 at 0.*kafka\.retention_hours.*`weir show r1`"):
        explained(found, RequestText(), create, retention_hours=168)


def test_offsets_are_of_the_raw_text(home):
    (found,) = flagged_verdicts(story(home), "r1")

    def load(name):
        detector = create(name, None)
        detector.load()
        return detector

    text = "hello there, call 12345, friend"  # the stub detector flags digits
    explanation = explained(found, RequestText(prompt=text), load, method="occlusion", retention_hours=168)
    strongest = max(explanation.attributions, key=lambda one: one.weight)
    assert text[strongest.start : strongest.end] == "12345,"
    assert (explanation.version, explanation.detector, explanation.side) == ("1", "toxicity", "input")


def test_without_a_terminal_the_strongest_words_are_in_brackets():
    lines = drawn(colour=False)
    assert "  │ Thanks a lot, you [worthless\ufffd[31m] [idiot]" in lines
    assert not any("\x1b" in line for line in lines)


def test_on_a_terminal_words_are_coloured_by_weight():
    lines = explanation_lines(EXPLAINED, colour=True)
    (line,) = [line for line in lines if "worthless" in line.plain and "│" in line.plain]
    assert line.plain == "  │ Thanks a lot, you worthless\ufffd[31m idiot"
    styles = {line.plain[span.start : span.end]: str(span.style) for span in line.spans}
    assert styles["idiot"] == "bold white on red3"
    assert "on" not in styles["you"]
    assert styles["Thanks"] == "blue"
    assert "a" not in styles


def test_words_are_listed_by_weight():
    rows = [line.split() for line in drawn(colour=False) if "█" in line]
    assert [(row[0], row[-1]) for row in rows][:2] == [("+3.00", "33-38"), ("+2.00", "18-32")]
    assert ["-0.80", "0-6"] in [[row[0], row[-1]] for row in rows]


def test_a_long_text_shows_its_attributed_part():
    text = "x " * 400 + "idiot" + " y" * 400
    only = (WordWeight(start=800, end=805, weight=1.0),)
    explanation = msgspec.structs.replace(EXPLAINED, text=text, attributions=only)
    (line,) = [line.plain for line in explanation_lines(explanation, colour=False) if "[idiot]" in line.plain]
    assert line.startswith("  │ … x")
    assert line.endswith("y …")
    assert len(line) < 200


def test_a_score_below_its_threshold_is_not_rounded_up_to_it():
    explanation = msgspec.structs.replace(EXPLAINED, score=0.8497, explained_by="2", explained_score=0.8999)
    first, noted, *_ = [line.plain for line in explanation_lines(explanation, colour=False)]
    assert first.startswith("toxicity 0.84  ")
    assert noted.endswith("score is 0.89")


def test_another_version_than_the_verdicts_is_noted():
    explanation = msgspec.structs.replace(EXPLAINED, explained_by="2")
    lines = [line.plain for line in explanation_lines(explanation, colour=False)]
    assert any("installed version 2, whose score is 0.93" in line for line in lines)
