import json
import stat

import msgspec
import pytest
from click.testing import CliRunner
from support import alert_records as records
from support.alert_records import event
from support.ledger_log import Log, aborted, end, explanation, gap, request, verdict
from support.spool import Spool

from stream.ledger.database_files import LedgerFiles
from stream.ledger.decisions import Decisions
from stream.ledger.queries.request_story import EndNote, RecordLocation, RequestEvents, RequestStory
from stream.ledger.shard import Shard
from stream.wire import CorrectionRecord, Event, Feedback, GuardStop, LabelRecord, RetrainingRecord, Span, Usage
from stream.wire.ids import consistency_request_id, shadow_request_id
from weir.cli import main
from weir.cli.render.request_story import story_lines
from weir.home.access_log import log_access
from weir.home.ports import not_started
from weir.operate import trace_links

TRACE_ID = "0af7651916cd43dd8448eb211c80319c"
PART, OTHER = "/messages/3/parts/0", "/messages/1/parts/0"


def alert(alert_id, *, opened_at=9.0, resolved_at=None, evidence=(), **fields):
    state = "firing" if resolved_at is None else "resolved"
    times = {"opened_at": opened_at, "at": opened_at, "resolved_at": resolved_at}
    return event(records.alert(alert_id, state=state, evidence=evidence, **times | fields))


def retraining(name, *alert_ids):
    where = {"tenant": "acme", "model": "m", "at": 20.0}
    data = RetrainingRecord(retraining_id=name, state="requested", reason="two agree", alert_ids=alert_ids, **where)
    return Event(id=name, source="w", type=data.event_type, time=20.0, data=data)


def judged(data, kind):
    return Event(id=f"r1/{kind}", source="g", type=data.event_type, time=50.0, data=data)


def corrections():
    """Return a correction of r1 by its tenant, and a correction by another tenant, which is ignored."""
    for tenant in ("acme", "elm"):
        data = CorrectionRecord(request_id="r1", tenant=tenant, at=50.0, answer="canary-correction", principal="k_1")
        yield judged(data, f"correction/{tenant}")


def feedback():
    for tenant, rating in (("acme", "down"), ("acme", "up"), ("elm", "up")):
        data = Feedback(request_id="r1", tenant=tenant, rating=rating, principal=f"k_{rating}")
        yield judged(data, f"feedback/{tenant}/{rating}")
    for value in (0.0, 1.0):
        data = LabelRecord(label_id="lb", request_id="r1", tenant="acme", at=value, value=value)
        yield judged(data, f"label/{value}")


@pytest.fixture
def home(home):
    files, log = LedgerFiles(home / "ledger"), Log()
    files.directory.mkdir()
    shard, empty, decisions = Shard(files.shard(3)), Shard(files.shard(0)), Decisions(files.decisions)
    where = {"conversation_id": "c-17"}
    question, answer = request("r1", 10.0, **where), end("r1", 11.0, owed=("pii", "refusal"), **where)
    spans = Span(start=3, end=9, type="PERSON"), Span(start=0, end=4, type="PERSON", part=OTHER)
    flagged = verdict(question, "pii", flagged=True, label="pii")
    flagged = msgspec.structs.replace(flagged, data=msgspec.structs.replace(flagged.data, part=PART, spans=spans))
    shard.apply(log.inference(question, answer, gap("s1", 4, 4, ("r5",)), partition=3))
    stopped = end(
        "r3", 31.0, status="error", guard=GuardStop(detector="pii", position_tokens=9, exposed_tokens=4), **where
    )
    shard.apply(log.inference(request("r3", 30.0, **where), stopped, partition=3))
    empty.apply(
        log.inference(
            request("r2", 20.0, tenant="elm", **where),
            request("r4", 40.0, conversation_id="c-18"),
            *(request("r6", 50.0), aborted("r6", 51.0)),
            partition=0,
        )
    )
    shard.apply(
        log.verdicts(
            flagged, verdict(question, "toxicity", score=0.5999), verdict(answer, "pii", score=0.57), partition=3
        )
    )
    copy = end(consistency_request_id("r1"), 12.0, owed=("consistency",), shadow_of="r1", **where)
    shadow = end(shadow_request_id("r3", "m_1"), 32.0, shadow_of="r3", **where)
    empty.apply(log.inference(copy, shadow, partition=0))
    compared = verdict(copy, "consistency", flagged=True, label="inconsistent", score=0.875)
    sentence = Span(start=0, end=7, type="INCONSISTENT", part="/context/1/parts/0")
    data = msgspec.structs.replace(compared.data, spans=(sentence,))
    empty.apply(log.verdicts(msgspec.structs.replace(compared, data=data), partition=0))
    empty.apply(log.inference(*corrections(), partition=0))
    shard.apply(log.records("weir.feedback", *feedback(), partition=3))
    shard.apply(log.verdicts(explanation(question, "pii", (3, 6, 2.5), (7, 9, -1.0)), partition=3))
    alerts = [alert("al_firing"), alert("al_evidence", detector="drift", opened_at=15.0, evidence=("r1",))]
    alerts += [alert("al_over", opened_at=1.0, resolved_at=5.0), alert("al_later", opened_at=12.0)]
    # Published after the request. The evidence is complete and lacks r1, whose finding was below the tenant's threshold.
    alerts += [alert("al_of_others", at=12.0, evidence=("r9",))]
    alerts += [alert("al_other_side", side="output"), alert("al_not_flagged", detector="toxicity")]
    decisions.apply(log.records("weir.alerts", *alerts))
    runs = retraining("rt_1", "al_evidence", "al_x"), retraining("rt_2", "al_x")
    decisions.apply(log.records("weir.retraining", *runs))
    yield home
    for part in (shard, empty, decisions):
        part.close()


def run(*arguments):
    return CliRunner().invoke(main, ["show", *arguments])


def test_json_has_the_documented_fields(home):
    shown = json.loads(run("r1", "--json").stdout)
    assert [shown[name] for name in ("request_id", "trace_id", "tenant", "model")] == ["r1", TRACE_ID, "acme", "m"]
    assert shown["end"] == {
        "status": "complete",
        "finish_reason": "stop",
        "usage": {"prompt_tokens": 3, "completion_tokens": 5, "total_tokens": 8},
        "latency_seconds": 0.5,
        "time_to_first_token_seconds": 0.1,
    }
    assert [(v["side"], v["detector"], v["flagged"]) for v in shown["verdicts"]] == [
        ("input", "pii", True),
        ("input", "toxicity", False),
        ("output", "pii", False),
    ]
    first = shown["verdicts"][0]
    assert first["part"] == PART
    assert first["spans"] == [
        {"start": 3, "end": 9, "type": "PERSON", "score": 1.0},
        {"start": 0, "end": 4, "type": "PERSON", "score": 1.0, "part": OTHER},
    ]
    assert shown["verdicts"][1]["part"] == ""
    assert (first["version"], first["label"], first["score"], first["covered"]) == ("1", "pii", 0.9, 1.0)
    assert shown["pending"] == ["output/refusal"]


def test_alerts_have_the_request_as_evidence_or_fired_for_its_flagged_verdicts(home):
    shown = json.loads(run("r1", "--json").stdout)
    assert shown["alert_ids"] == ["al_firing", "al_evidence"]
    assert shown["retraining_ids"] == ["rt_1"]


def test_the_text_is_in_the_order_of_cause_and_effect(home):
    text = run("r1").stdout
    marks = ["request", PART, "PERSON 3-9", f"PERSON 0-4 of {OTHER}", "complete", "no verdict yet"]
    marks += ["ALERT", "al_firing", "al_evidence", "RETRAIN", "rt_1"]
    places = [text.index(mark) for mark in marks]
    assert places == sorted(places), text
    assert TRACE_ID in text
    assert "canary" not in text


def test_a_flagged_verdict_has_its_label_unless_the_label_is_the_detectors_name(home):
    """The runbook of `tools` has a step for each label."""
    pii, consistency = (line for line in run("r1").stdout.splitlines() if "FLAGGED" in line)
    assert pii.split()[1:4] == ["pii", "FLAGGED", "0.90"]
    assert consistency.split()[1:5] == ["consistency", "FLAGGED", "inconsistent", "0.87"]


def test_an_explained_verdict_has_its_words(home):
    first, second, _ = json.loads(run("r1", "--json").stdout)["verdicts"]
    assert first["explanation"] == {
        "method": "shap",
        "base": 0.1,
        "score": 0.9,
        "attributed": 7,
        "words": [{"start": 3, "end": 6, "weight": 2.5}, {"start": 7, "end": 9, "weight": -1.0}],
    }
    assert second["explanation"] is None
    (line,) = [line for line in run("r1").stdout.splitlines() if "because of" in line]
    assert "3-6 +2.50" in line
    assert "7-9" not in line, "a word with a negative weight is not printed"


def test_a_conversation_is_all_its_requests_oldest_first(home):
    def listed(*options):
        return [one["request_id"] for one in json.loads(run("--conversation", "c-17", "--json", *options).stdout)]

    assert listed("--tenant", "acme") == ["r1", "r3"]
    assert listed("--limit", "1", "--tenant", "acme") == ["r3"]
    assert listed("--limit", "2", "--tenant", "acme") == ["r1", "r3"]
    assert listed("--tenant", "elm") == ["r2"]
    first, *_ = json.loads(run("--conversation", "c-17", "--tenant", "acme", "--json").stdout)
    assert first == json.loads(run("r1", "--json").stdout)


def test_a_conversation_of_several_tenants_needs_the_tenant(home):
    result = run("--conversation", "c-17")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert "2 tenants have a conversation 'c-17': acme, elm; name one with --tenant" in result.stderr


def test_a_conversation_of_one_tenant_needs_no_tenant(home):
    found = json.loads(run("--conversation", "c-18", "--json").stdout)
    assert [one["request_id"] for one in found] == ["r4"]


def test_a_conversation_as_text_has_the_verdicts_of_each_request(home):
    lines = run("--conversation", "c-17", "--tenant", "acme").stdout.splitlines()
    assert [line.split()[1] for line in lines if line.startswith("request ")] == ["r1", "r3"]
    assert sum("FLAGGED" in line for line in lines) == 2


@pytest.mark.parametrize("options", [("c-9",), ("c-17", "--tenant", "fir"), ("r1",)])
def test_an_unknown_conversation_is_an_error_that_names_the_home(home, options):
    result = run("--conversation", *options)
    assert result.exit_code == 1
    assert f"no request of conversation {options[0]!r}" in result.stderr
    assert str(home) in result.stderr


def test_a_conversation_reads_the_plan_of_the_stack_once(home, monkeypatch):
    def load_plan(home):
        read.append(home)
        raise not_started(home)

    read = []
    monkeypatch.setattr(trace_links, "load_plan", load_plan)
    assert run("--conversation", "c-17", "--tenant", "acme").stdout.count("tenant acme") > 1
    assert read == [home]


@pytest.mark.parametrize("arguments", [(), ("r1", "--conversation", "c-17"), ("--conversation", "")])
def test_either_a_request_or_a_conversation_is_needed(home, arguments):
    result = run(*arguments)
    assert result.exit_code == 2
    assert "give either REQUEST_ID or --conversation ID" in result.stderr


def test_the_end_has_the_guards_finding_if_there_is_one(home):
    assert json.loads(run("r3", "--json").stdout)["end"]["guard"] == {
        "detector": "pii",
        "position_tokens": 9,
        "exposed_tokens": 4,
    }
    assert "stopped by the guard: pii at token 9, 4 tokens sent" in run("r3").stdout


def test_a_score_below_its_threshold_is_not_rounded_up_to_it(home):
    (line,) = [line for line in run("r1").stdout.splitlines() if " toxicity " in line and "version" in line]
    assert " 0.59 " in line
    assert " 0.57 " in next(line for line in run("r1").stdout.splitlines() if "output  pii" in line)


def end_line(finish_reason, latency_seconds):
    place = {"topic": "weir.inference", "partition": 0, "offset": 7}
    location = RecordLocation(event_id="r1/end", side="output", type="x", time=1.0, **place)
    ended = EndNote(
        status="complete",
        finish_reason=finish_reason,
        usage=Usage(),
        latency_seconds=latency_seconds,
        time_to_first_token_seconds=None,
    )
    events = RequestEvents(tenant="acme", model="m", locations=(location,), end=ended, verdicts=())
    lines = [line.plain for line in story_lines(RequestStory(request_id="r1", events=events))]
    return next(line for line in lines if "complete" in line)


def test_the_finish_reason_of_another_server_cannot_control_the_terminal():
    assert "complete: stop\ufffd[2J\ufffd, tokens unknown, 1.00 s " in end_line("stop\x1b[2J\n", 1.0)


def test_a_duration_that_another_gateway_did_not_report_is_unknown():
    assert "complete: stop, tokens unknown, duration unknown " in end_line("stop", 0.0)


def test_a_time_of_another_day_than_the_requests_has_its_date(home):
    text = run("r1").stdout
    assert text.startswith("request r1  1970-01-01  tenant acme, model m\n")
    assert "\n00:00:09.000Z  ALERT " in text
    place = {"topic": "weir.inference", "partition": 0, "offset": 7}
    accepted = RecordLocation(event_id="r1/request", side="input", type="x", time=2 * 86_400.0, **place)
    events = RequestEvents(tenant="acme", model="m", locations=(accepted,), end=None, verdicts=())
    old = records.alert(opened_at=9.0, state="resolved", resolved_at=86_400.0)
    lines = [line.plain for line in story_lines(RequestStory(request_id="r1", events=events, alerts=(old,)))]
    assert lines[0].startswith("request r1  1970-01-03  ")
    assert lines[2].startswith("00:00:00.000Z  request")
    assert lines[-1].startswith("1970-01-01 00:00:09.000Z  ALERT    pii warning, resolved 1970-01-02 00:00:00.000Z: ")


def test_the_end_of_a_dead_gateway_has_no_numbers(home):
    assert "aborted: its gateway ended first, so its answer and its tokens are unknown" in run("r6").stdout


def test_a_shed_request_has_its_gap(home):
    shown = json.loads(run("r5", "--json").stdout)
    assert (shown["gap"]["reason"], shown["end"], shown["verdicts"]) == ("full", None, [])
    lines = run("r5").stdout.splitlines()
    assert lines[0] == "request r5", "the day of the request is unknown"
    assert lines[2].startswith(" " * 14 + "NOT DELIVERED  lost at or before 1970-01-01 00:00:05Z, counted in a gap")


@pytest.mark.parametrize("name", ["r0", "r", "r1/", "%", "r1/request"])
def test_an_unknown_id_is_an_error_that_names_the_home(home, name):
    result = run(name)
    assert result.exit_code == 1
    assert f"no request {name!r}" in result.stderr
    assert str(home) in result.stderr


def test_the_error_about_an_unknown_id_names_the_records_that_wait_in_the_spool(home):
    assert "A request of the last seconds may not be in the ledger yet, and an older one" in run("r0").stderr
    spool = Spool(home / "spool")
    spool.fill(2)
    spool.kill()
    assert "may not be in the ledger yet (2 records wait in the spool: see `weir status`)" in run("r0").stderr


@pytest.mark.parametrize(
    "arguments", [["show", "r\udcff"], ["show", "--conversation", "r\udcff"], ["explain", "r\udcff"]]
)
def test_an_argument_that_is_not_utf_8_is_an_error_that_names_it(home, arguments):
    result = CliRunner().invoke(main, arguments)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == "weir: the argument 'r\\xff' is not UTF-8; give it in UTF-8\n"


def test_without_a_ledger_the_error_names_the_remedy(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WEIR_HOME", str(tmp_path / "nowhere"))
    result = run("r1")
    assert result.exit_code == 1
    assert "weir up" in result.stderr


def test_an_access_to_text_is_logged_for_the_owner_only(tmp_path):
    path = log_access(tmp_path, "weir show --text", request_id="r1")
    log_access(tmp_path, "weir show --text", request_id="r2")
    entries = [json.loads(line) for line in path.read_text().splitlines()]
    assert [entry["request_id"] for entry in entries] == ["r1", "r2"]
    assert entries[0]["user"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_feedback_is_counted_and_its_text_not_read(home):
    counts = {"rated down": 1, "rated up": 1, "corrections": 1, "labels": 1}
    found = CliRunner().invoke(main, ["show", "r1", "--json"])
    assert json.loads(found.stdout)["judgments"] == counts
    printed = CliRunner().invoke(main, ["show", "r1"]).stdout
    assert "feedback  rated down: 1 time, rated up: 1 time, corrections: 1, labels: 1" in printed
    assert "canary-correction" not in printed + found.stdout


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--tenant", "other", "--limit", "3"), "--tenant and --limit apply to --conversation only"),
        (("--limit", "50"), "--limit applies to --conversation only"),
    ],
)
def test_options_of_a_conversation_are_rejected_for_a_request(home, options, words):
    result = CliRunner().invoke(main, ["show", "r1", *options])
    assert result.exit_code == 2
    assert words in result.stderr


def test_a_request_with_a_consistency_copy_has_the_verdict_and_the_id_of_the_copy(home):
    copy = consistency_request_id("r1")
    assert json.loads(run("r1", "--json").stdout)["consistency"] == {
        "request_id": copy,
        "flagged": True,
        "label": "inconsistent",
        "score": 0.875,
    }
    (line,) = [line for line in run("r1").stdout.splitlines() if "asked again" in line]
    assert line.endswith(f" INCONSISTENT 0-7  the model was asked again: weir show {copy}")
    assert json.loads(run("r3", "--json").stdout)["consistency"] is None
    assert "asked again" not in run("r3").stdout
    shown = json.loads(run(copy, "--json").stdout)
    assert (shown["verdicts"][0]["detector"], shown["shadow_of"]) == ("consistency", "r1")
    assert "copy    of request r1; no user received this answer" in run(copy).stdout
    assert json.loads(run("r1", "--json").stdout)["shadow_of"] == ""
