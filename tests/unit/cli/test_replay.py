"""Arguments that `weir replay` rejects before it connects to Kafka, and the text of its report."""

import io
import json
from pathlib import Path

import msgspec
import pytest
from click.testing import CliRunner
from rich.console import Console
from support.cases import cases

from detectors.pii.detector import PiiDetector
from stream.replay.alert_diff import AlertDiff, MovedAlert, compare
from stream.replay.report import Report
from stream.replay.timeline import ReplayedAlert
from weir.cli import main
from weir.cli.render.replay_diff import replay_view

CASES = cases(__file__)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WEIR_KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:1")


@pytest.mark.parametrize(("options", "named"), CASES["impossible"])
def test_an_impossible_replay_is_one_line_with_the_remedy(options, named):
    done = CliRunner().invoke(main, ["replay", *options])
    assert done.exit_code == 1
    assert named.format(version=PiiDetector.version) in done.stderr
    assert "Traceback" not in done.stderr


def test_the_diff_is_printed_before_its_file_is_written(monkeypatch):
    monkeypatch.setattr("weir.cli.replay._run", lambda _asked, _settings: report(AlertDiff()))
    command = ["replay", "--from", "1h", "--detector", "pii", "--output"]
    kept = CliRunner().invoke(main, [*command, "diff.json", "--json"])
    assert Path("diff.json").read_text() == kept.stdout
    full = CliRunner().invoke(main, [*command, "/dev/full"])
    assert full.stderr == "weir: a file cannot be written: No space left on device; free space on the disk\n"
    assert "no difference" in full.stdout


def alert(opened):
    where = {"tenant": "acme", "model": "m", "side": "input", "detector": "pii", "feature": ""}
    window = {"bucket": int(opened // 30), "bucket_seconds": 30.0, "opened_at": float(opened)}
    return ReplayedAlert(alert_id=f"al_{opened}", evidence=(f"r{opened}",), evidence_total=1, **where, **window)


def report(diff, notes=()):
    return msgspec.structs.replace(msgspec.convert(CASES["report"], Report), diff=diff, notes=list(notes))


def shown(one):
    out = io.StringIO()
    Console(file=out, width=240).print(replay_view(one))
    return out.getvalue()


def test_the_text_has_counts_and_each_alert_that_differs():
    diff = compare([alert(10), alert(40), alert(1000)], [alert(70), alert(10)], windows=3, counts=lambda _: True)
    assert [type(one) for one in diff.moved] == [MovedAlert]
    text = shown(report(diff, notes=["2 events are not compared"]))
    assert "pii@strict (1/strict) against pii@recorded" in text
    assert "9 events read, 8 compared; 9 events/s, 6.0 times" in text
    assert "vanished" in text
    assert "(1 request, first r1000)" in text
    assert "opened: was" in text
    assert "• 2 events are not compared" in text
    assert "weir/replay/rp_1" in text


def test_an_empty_diff_is_stated():
    assert "no difference" in shown(report(AlertDiff()))


def test_the_json_names_the_range_as_the_options_do():
    value = json.loads(msgspec.json.encode(report(AlertDiff())))
    assert (value["from"], value["to"]) == (0.0, 100.0)
    assert set(value["diff"]) == {"appeared", "vanished", "moved", "unchanged", "by"}
