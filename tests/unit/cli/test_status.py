import json
import os
import time

import msgspec
import pytest
from click.testing import CliRunner
from opentelemetry.trace import NoOpTracerProvider
from prometheus_client import CollectorRegistry
from rich.console import Console
from support import alert_records as records
from support.events import TRACE, a_request
from support.ledger_log import Log, forwarded, request, verdict
from support.spool import Spool

from serving.capture.recorder import Recorder
from serving.capture.shipper import Shipper
from serving.process_identity import process_identity
from serving.settings import CaptureSettings
from stream.ledger.alerts.ledger_alerts import decide
from stream.ledger.alerts.observations import Observation
from stream.ledger.database_files import LedgerFiles
from stream.ledger.decisions import Decisions, Heartbeat, OutgoingAlert
from stream.ledger.shard import Shard
from stream.runbook import RUNBOOK
from stream.settings import KafkaSettings, LedgerSettings
from weir.cli import main
from weir.cli.render.alert import alert_line
from weir.cli.render.status import status_view
from weir.client import Alert
from weir.local.health.health_probe import Health
from weir.local.stack_state import ComponentState, save_components, save_supervisor
from weir.operate.status import CaptureStatus, ComponentStatus, CoverageStatus, PairCount, Status


@pytest.fixture
def home(no_broker):
    for folder in ("ledger", "state"):
        (no_broker / folder).mkdir()
    return no_broker


@pytest.fixture
def ledger(home):
    files, log = LedgerFiles(home / "ledger"), Log()
    shard, decisions = Shard(files.shard(0)), Decisions(files.decisions)
    event = request("r1", 10.0)
    shard.apply(log.inference(event) + log.verdicts(verdict(event, "pii")))

    def beat(**changes):
        now = time.time()
        fields = {"wall_time": now, "log_time": 12.0, "advanced_at": now, "lag": {"weir.inference": 4}} | changes
        decisions.beat(Heartbeat(**fields))

    beat()

    def extend(*events, alerts=(), **changes):
        shard.apply(log.verdicts(*events))
        decisions.apply(log.records("weir.alerts", *alerts))
        beat(**changes)

    yield extend
    shard.close()
    decisions.close()


def run(*arguments):
    return CliRunner().invoke(main, ["status", *arguments])


def component(name, pid):
    return ComponentState(
        name=name,
        pid=pid,
        identity=process_identity(pid) or "",
        log=f"/logs/{name}.log",
        started_at=time.time() - 90,
        address="127.0.0.1:1",
        health_url="http://127.0.0.1:1/healthz",
        restarts=1,
        running=True,
    )


@pytest.fixture
def dead_score(home):
    save_components(home, [component("score", 2**22 + 1)])


@pytest.mark.usefixtures("dead_score")
def test_json_has_the_documented_fields_and_an_unhealthy_stack_exits_with_1(ledger):
    result = run("--json")
    assert result.exit_code == 1
    status = json.loads(result.stdout)
    assert set(status) >= {"healthy", "components", "capture", "lag", "coverage"}
    assert status["healthy"] is False
    assert set(status["components"][0]) >= {"name", "healthy", "address", "pid", "log", "detail"}
    assert status["components"][0]["detail"] == "does not run"
    assert set(status["capture"]) >= {"accepted", "delivered", "spooled", "shed"}
    assert status["lag"] == {"weir.inference": 4}
    coverage = status["coverage"]
    wanted = {"ratio": 0.5, "requests": 1, "owed": 2, "settled": 1, "missing": 0, "errors": 0, "pending": 1}
    assert wanted.items() <= coverage.items()
    assert coverage["by_detector"]["toxicity"]["pending"] == 1
    assert any("Kafka at 127.0.0.1:1 does not answer" in problem for problem in status["problems"])


@pytest.mark.parametrize(("started_at", "detail"), [(0.0, "not started yet"), (1.0, "does not run")])
def test_a_component_that_waits_for_its_restart_is_not_called_new(home, ledger, started_at, detail):
    save_components(home, [msgspec.structs.replace(component("score", 0), started_at=started_at, running=False)])
    assert json.loads(run("--json").stdout)["components"][0]["detail"] == detail


def test_settings_that_cannot_reach_kafka_are_one_problem_of_several(dead_score, ledger, monkeypatch):
    del dead_score, ledger
    monkeypatch.setenv("WEIR_KAFKA__SECURITY_PROTOCOL", "SASL_SSL")
    problems = json.loads(run("--json").stdout)["problems"]
    assert any("kafka.sasl_username is empty; set kafka.sasl_username" in problem for problem in problems)
    assert any(problem.startswith("score: does not run") for problem in problems)


def test_the_served_models_are_named_with_their_engines(home, ledger, monkeypatch):
    monkeypatch.setenv("WEIR_MODELS__GPT", '{"engine": "upstream", "base_url": "http://127.0.0.1:1/v1"}')
    monkeypatch.setenv("WEIR_MODELS__ECHO", "{}")
    assert json.loads(run("--json").stdout)["models"] == [
        {"name": "gpt", "engine": "upstream", "base_url": "http://127.0.0.1:1/v1"},
        {"name": "echo", "engine": "echo", "base_url": ""},
    ]
    assert "gpt (upstream http://127.0.0.1:1/v1), echo (echo)" in run().stdout


@pytest.mark.usefixtures("dead_score")
def test_the_text_begins_with_the_problems(ledger):
    text = run().stdout
    assert text.splitlines()[0].startswith("NOT HEALTHY")
    assert "score: does not run; log /logs/score.log" in text


@pytest.mark.parametrize(
    ("events", "offsets", "problem"),
    [
        ([forwarded({"s1": 99.0})], {}, "1 verdict is missing"),
        ([], {"advanced_at": -45}, "the bound is 30 s; if Kafka answers, see the logs of serve and shipper"),
        ([], {"log_time": 3600}, "s ahead of the clock, the bound is 30 s"),
        ([], {"wall_time": -60}, "no heartbeat of the ledger for"),
    ],
)
def test_findings_of_the_ledger_are_problems(home, ledger, events, offsets, problem):
    now = time.time()  # not at collection, which may be an hour earlier
    ledger(*events, **{field: now + offset for field, offset in offsets.items()})
    problems = json.loads(run("--json").stdout)["problems"]
    assert any(problem in line for line in problems), problems


def own(detector, *, until=None, feature=""):
    """Return an alert about Weir itself and, if `until` is given, a silence that ends `until` seconds from now."""
    alert = records.alert(
        detector=detector, tenant="_weir", model="", side="", feature=feature, summary=f"{detector} is bad"
    )
    muted = [] if until is None else [records.silence(alert, time.time() - 600, time.time() + until)]
    return [records.event(data) for data in (alert, *muted)]


@pytest.mark.parametrize(("until", "named"), [(3600, True), (-1, False), (None, False)])
@pytest.mark.parametrize("detector", ["lag", "coverage"])
def test_a_silenced_alert_remains_a_problem_and_is_marked(home, ledger, detector, until, named):
    ledger(forwarded({"s1": 99.0}), alerts=own(detector, until=until))
    result = run("--json")
    assert result.exit_code == 1
    text = "lag is bad" if detector == "lag" else "1 verdict is missing"
    (problem,) = [line for line in json.loads(result.stdout)["problems"] if text in line]
    assert ("silenced until" in problem) is named
    assert ("by jo: load test" in problem) is named


def test_a_spool_that_is_almost_full_is_a_problem_with_its_remedy(home, ledger, monkeypatch):
    monkeypatch.setenv("WEIR_CAPTURE__LIMIT_BYTES", "100000")
    monkeypatch.setenv("WEIR_CAPTURE__END_RESERVE_BYTES", "10000")
    recorder = Recorder(root=home / "spool", settings=CaptureSettings(limit_bytes=10**8), registry=CollectorRegistry())
    with recorder:
        record = a_request("r1", "x" * 60_000)
        recorder.request(record, traceparent=TRACE)
        assert not any(line.startswith("spool") for line in json.loads(run("--json").stdout)["problems"])
        again = a_request("r2", "x" * 20_000)
        recorder.request(again, traceparent=TRACE)
        result = run("--json")
        (problem,) = [line for line in json.loads(result.stdout)["problems"] if line.startswith("spool")]
    assert result.exit_code == 1
    assert problem.startswith(f"spool: the spool of {recorder.source} uses 8")
    assert problem.endswith(RUNBOOK["spool"])
    capture = json.loads(result.stdout)["capture"]
    assert (capture["fullest"], capture["limit_bytes"], capture["spooled"]) == (recorder.source, 100_000, 2)


@pytest.fixture
def full_spool(home, monkeypatch):
    monkeypatch.setenv("WEIR_CAPTURE__LIMIT_BYTES", "4000000")
    spool = Spool(home / "spool", settings=CaptureSettings(limit_bytes=4_000_000))
    while not spool.writer.full:
        spool.request(f"r{spool.writer.open_requests}")
    spool.writer.tick()
    return spool


def test_a_spool_with_a_firing_alert_is_one_problem(full_spool, ledger):
    ledger(forwarded({"s1": 99.0}), alerts=own("spool", feature=full_spool.source))
    (problem,) = [line for line in json.loads(run("--json").stdout)["problems"] if line.startswith("spool")]
    full_spool.kill()
    assert problem.startswith("spool: spool is bad")


def test_a_spool_that_sheds_because_of_open_requests_is_a_problem_until_it_is_closed(full_spool, ledger):
    """The spool's alert cannot be published while Kafka is unreachable."""
    assert full_spool.writer.size_bytes < 0.1 * 4_000_000
    (problem,) = [line for line in json.loads(run("--json").stdout)["problems"] if line.startswith("spool")]
    assert problem.startswith(f"spool: the spool of {full_spool.source} uses ")
    full_spool.writer.finish()
    full_spool.kill()
    assert not any(line.startswith("spool") for line in json.loads(run("--json").stdout)["problems"])


def shipper(home):
    """A shipper in this process that has not reported the state of Kafka."""
    (home / "spool").mkdir(exist_ok=True)
    parts = {"names": KafkaSettings().names, "partitions": 1, "registry": CollectorRegistry()}
    return Shipper(home / "spool", {}, **parts, tracer_provider=NoOpTracerProvider())


def test_a_shipper_that_waits_for_kafka_is_healthy_and_has_a_detail(home, ledger, monkeypatch):
    monkeypatch.setattr("weir.operate.status.probe", lambda _url, _seconds: Health(ok=True))
    save_components(home, [component("shipper", os.getpid())])
    saying = shipper(home)

    def reported():
        (one,) = json.loads(run("--json").stdout)["components"]
        return one["healthy"], one["detail"]

    assert reported() == (True, "")
    saying._report("KafkaConnectionError: gone")
    assert reported() == (True, "Kafka accepts no records: KafkaConnectionError: gone")
    assert "  shipper: Kafka accepts no records: KafkaConnectionError: gone" in run().stdout.splitlines()
    saying._report("")
    assert reported() == (True, "")
    for words in (b"", b'{"pid": 1, "reason": "of an earlier shipper"}'):
        (home / "spool" / "shipper.json").write_bytes(words)
        assert reported() == (True, "")


def test_an_alert_about_weir_itself_is_a_problem_with_its_runbook_line(home, ledger):
    decisions = Decisions(LedgerFiles(home / "ledger").decisions)
    lag = Observation(log_time=100.0, lag_seconds=61.0, lag_identity="0/s1@39.0")
    decisions.decide([OutgoingAlert(record=record) for record in decide([], lag, LedgerSettings())])
    decisions.close()
    problems = json.loads(run("--json").stdout)["problems"]
    assert any(line.startswith("lag: Verdicts are 61 s behind") and RUNBOOK["lag"] in line for line in problems)


def pairs(*, missing=0):
    settled = 6 - missing
    return PairCount(ratio=settled / 6, owed=6, settled=settled, missing=missing, errors=0, pending=0)


def printed(total, **split):
    """Return the text of a status with the given coverage; the status is healthy if no verdict is missing."""
    coverage = CoverageStatus(**msgspec.structs.asdict(total), requests=1, **split)
    score = ComponentStatus(name="score", healthy=True, address="a", pid=7, log="l", detail="", uptime_seconds=300.0)
    capture, lag = CaptureStatus(accepted=2, delivered=2), {"weir.inference": 0}
    status = Status(
        healthy=not total.missing, components=[score], capture=capture, lag=lag, coverage=coverage, problems=[]
    )
    plain = Console(width=120, force_terminal=False)
    with plain.capture() as captured:
        plain.print(status_view(status))
    return captured.get()


def test_coverage_is_split_by_detector_tenant_and_model_worst_first():
    bad = pairs(missing=3)
    tenants = {f"tenant-{number:02}": pairs() for number in range(20)} | {"zeta": bad}
    text = printed(bad, by_detector={"pii": bad}, by_tenant=tenants, by_model={"m": bad})
    words = [line.split()[0] for line in text.splitlines() if line.strip()]
    assert [word for word in words if word in {"detector", "tenant", "model"}] == ["detector", "tenant", "model"]
    assert words[words.index("tenant") + 1] == "zeta"
    assert "and 13 more" in text


def test_skipped_records_are_counted_by_topic():
    text = " ".join(printed(pairs(), skipped={"weir.verdicts": 4, "weir.inference": 8}).split())
    assert "; 12 records could not be read or stored: weir.inference 8, weir.verdicts 4 (see" in text


def test_only_a_firing_alert_is_printed_with_its_runbook_line():
    (record,) = decide([], Observation(log_time=100.0, lag_seconds=61.0, lag_identity="0/s1@39.0"), LedgerSettings())
    alert = msgspec.convert(record, Alert, from_attributes=True)
    assert f"do: {RUNBOOK['lag']}" in alert_line(alert).plain
    assert "do:" not in alert_line(msgspec.structs.replace(alert, state="resolved", resolved_at=101.0)).plain


def test_without_a_stack_the_error_names_home_and_remedy(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WEIR_HOME", str(tmp_path / "elsewhere"))
    result = run()
    assert result.exit_code == 1
    assert str(tmp_path / "elsewhere") in result.stderr
    assert "weir up" in result.stderr


def test_in_a_container_of_the_ledger_no_missing_component_is_a_problem(home, ledger):
    """Docker or Kubernetes starts the components and checks their health. The spool is in another home."""
    problems = json.loads(run("--json").stdout)["problems"]
    assert ["does not answer" in problem for problem in problems] == [True], "the only problem is Kafka"
    text = run().stdout
    assert "docker compose ps" in text
    assert "accepted 0" not in text


def test_a_stopped_stack_is_the_only_problem(home, ledger, monkeypatch):
    """Its broker and its ledger do not answer either."""
    ledger(wall_time=1.0)
    (home / "state" / "plan.json").touch()
    (problem,) = json.loads(run("--json").stdout)["problems"]
    assert problem.startswith("no component runs; start the stack with `weir up`")
    assert "docker compose ps" not in run().stdout
    monkeypatch.setenv("WEIR_KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:1")
    assert len(json.loads(run("--json").stdout)["problems"]) == 2, "a Kafka of the user's own does not answer"


def test_a_stack_that_starts_is_not_called_stopped(home, ledger):
    del ledger
    (home / "state" / "plan.json").touch()
    save_supervisor(home, os.getpid(), home / "socket")
    text = run().stdout
    assert "the stack starts, and no health check has ended" in text
    assert "no component runs" not in text


def test_the_text_of_a_healthy_stack_begins_with_healthy():
    text = printed(pairs(), by_detector={"pii": pairs()})
    assert text.startswith("healthy")
    assert "accepted 2 = delivered 2 + spooled 0 + shed 0" in text
    assert "1.0000" in text


@pytest.mark.parametrize("name", ["decisions.db", "partition-0.db"])
def test_a_damaged_ledger_is_a_problem_with_its_remedy(home, ledger, dead_score, name):
    del ledger, dead_score
    for suffix in ("-wal", "-shm"):
        (home / "ledger" / f"{name}{suffix}").unlink(missing_ok=True)
    (home / "ledger" / name).write_bytes(b"damaged " * 1000)
    status = json.loads(run("--json").stdout)
    remedy = "file is not a database; `weir ledger rebuild` reads it again from Kafka"
    assert f"the ledger in {home / 'ledger'} cannot be read: {remedy}" in status["problems"]
    assert [one["name"] for one in status["components"]] == ["score"]
    shown = CliRunner().invoke(main, ["show", "r1"])
    assert (shown.exit_code, shown.stderr.endswith(f"{remedy}\n")) == (1, True)
