"""`weir eval` from end to end, with real detectors on labelled files that the tests write."""

import csv
import gzip
import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner
from support.cases import cases

from detectors.errors import DetectorError
from detectors.evaluate.progress import no_progress
from weir.cli import main
from weir.quality.evaluation import EvaluationOptions, run_evaluation

CASES = cases(__file__)

MARKED = [
    ("Write to anna.keller@example.com please.", [("anna.keller@example.com", "EMAIL_ADDRESS")]),
    ("My card is 4111 1111 1111 1111.", [("4111 1111 1111 1111", "CREDIT_CARD")]),
    ("The garden is green today.", []),
    ("My passphrase is blue horse.", [("blue horse", "PASSPHRASE")]),
]


pytestmark = pytest.mark.usefixtures("home")


def weir(*arguments):
    result = CliRunner().invoke(main, ["eval", *arguments])
    assert result.exit_code == 0, result.stderr
    return result


def report_of(*arguments):
    """Return the report and the PII detector's part of it."""
    weir(*arguments, "--json", "out.json")
    report = json.loads(Path("out.json").read_text())
    return report, report["detectors"][0]


def spans_of(text, marked, keys=("start", "end", "type")):
    return [
        dict(zip(keys, (text.index(part), text.index(part) + len(part), kind), strict=True)) for part, kind in marked
    ]


@pytest.fixture
def data(tmp_path):
    """A data folder with a labelled set for PII and with ordinary prompts."""
    keys = ("start_position", "end_position", "entity_type")
    records = [{"full_text": text, "spans": spans_of(text, marked, keys)} for text, marked in MARKED]
    prompts = {"turns": ["Sort a list in Python.", "Mail bob@example.com about it."], "category": "coding"}
    for name, content in (
        ("pii/presidio_generated_small.json.gz", gzip.compress(json.dumps(records).encode())),
        ("traffic/mtbench_prompts.jsonl", json.dumps(prompts).encode()),
    ):
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
    return tmp_path / "data"


def test_a_marked_file_of_the_user(tmp_path):
    rows = [{"body": text, "entities": spans_of(text, marked)} for text, marked in MARKED]
    (tmp_path / "marked.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    arguments = ("--file", "marked.jsonl", "--columns", "text=body,spans=entities", "--json", "out.json")
    result = weir(*arguments, "--plots", "plots", "--limit", "0")
    assert "typed spans" in result.stdout
    assert ", threshold 0.6\n" in result.stdout
    assert "\nseed 0, all texts, " in result.stdout
    assert "reading the data" in result.stderr
    assert (tmp_path / "plots/pii-marked.jsonl.png").read_bytes().startswith(b"\x89PNG")
    report = json.loads((tmp_path / "out.json").read_text())
    (pii,) = report["detectors"]
    (metrics,) = pii["sets"]
    assert metrics["formats"] == {"f1": 1.0, "f2": 1.0, "precision": 1.0, "recall": 1.0}
    recall = {row["value"]: row["recall"] for row in metrics["types"] if row["spans"]}
    assert recall == {"CREDIT_CARD": 1.0, "EMAIL_ADDRESS": 1.0, "PASSPHRASE": 0.0}
    found = len("anna.keller@example.com") + len("4111 1111 1111 1111")
    assert metrics["characters"]["recall"] == pytest.approx(found / (found + len("blue horse")))
    assert pii["cost"]["texts"] == 4
    assert pii["cost"]["rss_peak_mib"] > pii["cost"]["rss_rise_mib"] > 10
    assert report["data"][0]["file"] == "marked.jsonl"
    assert (report["seed"], report["streams"], report["absent"]) == (0, [], [])
    assert "anna.keller" not in json.dumps(report)


def test_a_labelled_file_of_the_user_with_functionalities(tmp_path):
    with (tmp_path / "labelled.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["functionality", "test_case", "label_gold"])
        table.writerows(["contact", text, "private" if marked else "fine"] for text, marked in MARKED)
    columns = "text=test_case,label=label_gold,functionality=functionality"
    _, pii = report_of(
        "--file", "labelled.csv", "--columns", columns, "--positive", "private", "--detector", "pii", "--no-cost",
        "--plots", "plots",
    )  # fmt: skip
    (metrics,) = pii["sets"]
    assert (metrics["positive"], metrics["recall"], metrics["precision"]) == (3, pytest.approx(2 / 3), 1.0)
    assert sum(one["texts"] for one in metrics["reliability"]) == 4
    assert [row["value"] for row in metrics["by"]["functionality"]] == ["contact"]
    assert "cost" not in pii
    assert (tmp_path / "plots/pii.png").read_bytes().startswith(b"\x89PNG")


def test_a_file_with_the_columns_text_and_label_needs_no_option(tmp_path):
    (tmp_path / "a.jsonl").write_text(
        "".join(f'{{"text": "{text}", "label": {bool(marked):d}}}\n' for text, marked in MARKED)
    )
    _, pii = report_of("--file", "a.jsonl", "--detector", "pii", "--no-cost")
    assert pii["sets"][0]["positive"] == 3


def test_names_with_dollar_signs_are_drawn_as_they_are(tmp_path):
    rows = [
        {"body": text, "label": bool(marked), "entities": spans_of(text, [(part, "$A_$") for part, _ in marked])}
        for text, marked in MARKED
    ]
    (tmp_path / "$cost_$5.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    arguments = ("--file", "$cost_$5.jsonl", "--columns", "text=body,label=label,spans=entities", "--no-cost")
    weir(*arguments, "--plots", "plots")
    assert sorted(path.name for path in (tmp_path / "plots").iterdir()) == ["pii--cost_-5.jsonl.png", "pii.png"]


@pytest.mark.usefixtures("data")
def test_a_folder_is_read_and_missing_files_are_reported():
    report, pii = report_of("--data", "data", "--detector", "pii", "--no-cost")
    assert report["absent"][0] == "pii/presidio_generated_large.json.gz"
    assert [one["set"] for one in pii["sets"]] == ["presidio_generated_small"]
    (ordinary,) = pii["ordinary"]
    assert ordinary.pop("interval") == pytest.approx([0.095, 0.905], abs=1e-3)
    assert ordinary == {"source": "mtbench", "texts": 2, "flagged": 1, "rate": 0.5}
    files = ["pii/presidio_generated_small.json.gz", "traffic/mtbench_prompts.jsonl"]
    assert [one["file"] for one in report["data"]] == files


def test_a_detector_without_its_configuration_is_an_error_if_it_is_named(data):
    options = EvaluationOptions(data=data, names=["hub"], cost=False)
    with pytest.raises(DetectorError, match="hub"):
        run_evaluation(options, no_progress)


@pytest.mark.usefixtures("data")
def test_a_stream_detector_runs_its_study():
    weir("--data", "data", "--detector", "anomaly", "--runs", "1", "--json", "out.json")
    report = json.loads(Path("out.json").read_text())
    assert report["detectors"] == []
    assert {row["detector"] for row in report["streams"]} == {"anomaly"}
    assert len(report["streams"]) == 8  # one row for false alarms and seven for changes


def test_a_study_without_its_file_is_left_out_if_it_was_not_named(data, monkeypatch):
    monkeypatch.setattr("weir.quality.evaluation.TEXT", {"pii": None})
    monkeypatch.setattr("weir.quality.evaluation.STREAM", {"drift": None})
    report, pii = report_of("--data", "data", "--no-cost", "--runs", "1")
    assert report["left_out"] == [
        f"drift: there is no file {data.relative_to(data.parent)}/drift/clinc_domains.json.gz"
    ]
    assert pii["sets"]
    with pytest.raises(FileNotFoundError):
        run_evaluation(EvaluationOptions(data=data, names=["drift"], cost=False), no_progress)


def test_the_configured_threshold_is_measured(data):
    (data.parent / "weir.toml").write_text("[detectors.options.pii]\nthreshold = 1.0\n")
    _, pii = report_of("--data", "data", "--detector", "pii", "--no-cost")
    assert pii["config"]["threshold"] == pii["threshold"] == 1.0


@pytest.mark.parametrize(("arguments", "message"), CASES["errors"])
def test_an_error_is_one_line_with_the_remedy(tmp_path, arguments, message):
    (tmp_path / "a.csv").write_text("t,l\na,hate\n")
    result = CliRunner().invoke(main, ["eval", *arguments])
    assert result.exit_code == 1
    assert message in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    "named", [("--study", "speed"), ("--detector", "pi"), ("--study", "drift", "--study", "speed")]
)
@pytest.mark.usefixtures("data")
def test_an_unknown_name_is_an_error_before_the_work(named):
    result = CliRunner().invoke(main, ["eval", "--data", "data", *named])
    assert result.exit_code == 1
    (line,) = result.stderr.splitlines()
    assert line.startswith(("weir: there is no study 'speed'", "weir: no detector is named 'pi'"))


@pytest.mark.parametrize("library", ["sklearn.metrics", "matplotlib.figure"])
def test_a_missing_library_is_reported_with_its_extra_before_the_work(tmp_path, library):
    # In a new process, because this process has imported all libraries.
    script = f"import sys; sys.modules[{library!r}] = None; from weir.cli import main; main()"
    command = [sys.executable, "-c", script, "eval", "--data", "."]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "pip install 'weir-llm[stream,eval]'" in result.stderr
    assert "reading the data" not in result.stderr
