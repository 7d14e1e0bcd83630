"""`weir eval`, whole: real detectors on labelled files that the test makes."""

import csv
import gzip
import json
import subprocess
import sys

import pytest
from click.testing import CliRunner

from detectors.errors import DetectorError
from detectors.evaluate.progress import no_progress
from weir.cli import main
from weir.quality.evaluation import EvaluationOptions, run_evaluation

MARKED = [
    ("Write to anna.keller@example.com please.", [("anna.keller@example.com", "EMAIL_ADDRESS")]),
    ("My card is 4111 1111 1111 1111.", [("4111 1111 1111 1111", "CREDIT_CARD")]),
    ("The garden is green today.", []),
    ("My passphrase is blue horse.", [("blue horse", "PASSPHRASE")]),
]


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WEIR_CONFIG", raising=False)
    monkeypatch.setenv("WEIR_HOME", str(tmp_path / "home"))


def weir(*arguments):
    return CliRunner().invoke(main, ["eval", *arguments])


def spans_of(text, marked):
    return [{"start": text.index(part), "end": text.index(part) + len(part), "type": kind} for part, kind in marked]


def presidio_file(folder):
    records = [
        {
            "full_text": text,
            "spans": [
                {"start_position": s["start"], "end_position": s["end"], "entity_type": s["type"]}
                for s in spans_of(text, marked)
            ],
        }
        for text, marked in MARKED
    ]
    (folder / "pii").mkdir(parents=True)
    path = folder / "pii/presidio_generated_small.json.gz"
    path.write_bytes(gzip.compress(json.dumps(records).encode()))
    (folder / "traffic").mkdir()
    prompts = [{"turns": ["Sort a list in Python.", "Mail bob@example.com about it."], "category": "coding"}]
    (folder / "traffic/mtbench_prompts.jsonl").write_text("".join(json.dumps(p) + "\n" for p in prompts))


def test_a_marked_file_of_one_s_own(tmp_path):
    rows = [{"body": text, "entities": spans_of(text, marked)} for text, marked in MARKED]
    (tmp_path / "marked.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    result = weir(
        "--file", "marked.jsonl", "--columns", "text=body,spans=entities", "--json", "out.json", "--plots", "plots"
    )
    assert result.exit_code == 0, result.stderr
    assert "typed spans" in result.stdout
    assert "reading the data" in result.stderr
    assert (tmp_path / "plots/pii-marked.jsonl.png").read_bytes().startswith(b"\x89PNG")
    report = json.loads((tmp_path / "out.json").read_text())
    (pii,) = report["detectors"]
    (figures,) = pii["sets"]
    assert figures["formats"] == {"f1": 1.0, "f2": 1.0, "precision": 1.0, "recall": 1.0}
    assert {row["value"]: row["recall"] for row in figures["types"] if row["spans"]} == {
        "CREDIT_CARD": 1.0,
        "EMAIL_ADDRESS": 1.0,
        "PASSPHRASE": 0.0,
    }
    found = len("anna.keller@example.com") + len("4111 1111 1111 1111")
    assert figures["characters"]["recall"] == pytest.approx(found / (found + len("blue horse")))
    assert pii["cost"]["texts"] == 4
    assert pii["cost"]["rss_peak_mib"] > pii["cost"]["rss_rise_mib"] > 10
    assert report["data"][0]["file"] == "marked.jsonl"
    assert (report["seed"], report["streams"], report["absent"]) == (0, [], [])
    assert "anna.keller" not in json.dumps(report)


def test_a_labelled_file_of_one_s_own_with_functionalities(tmp_path):
    with (tmp_path / "labelled.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["functionality", "test_case", "label_gold"])
        table.writerows(["contact", text, "private" if marked else "fine"] for text, marked in MARKED)
    columns = "text=test_case,label=label_gold,functionality=functionality"
    result = weir(
        "--file", "labelled.csv", "--columns", columns, "--positive", "private", "--detector", "pii", "--no-cost",
        "--plots", "plots", "--json", "out.json",
    )  # fmt: skip
    assert result.exit_code == 0, result.stderr
    assert "labelled.csv, by functionality" in result.stdout
    (pii,) = json.loads((tmp_path / "out.json").read_text())["detectors"]
    (figures,) = pii["sets"]
    assert (figures["positive"], figures["recall"], figures["precision"]) == (3, pytest.approx(2 / 3), 1.0)
    assert sum(one["texts"] for one in figures["reliability"]) == 4
    assert "cost" not in pii
    assert (tmp_path / "plots/pii.png").read_bytes().startswith(b"\x89PNG")


def test_a_folder_is_read_for_what_it_holds_and_what_is_not_there_is_said(tmp_path):
    presidio_file(tmp_path / "data")
    result = weir("--data", "data", "--detector", "pii", "--no-cost", "--json", "out.json")
    assert result.exit_code == 0, result.stderr
    assert "missing files, left out: pii/presidio_generated_large.json.gz" in result.stdout
    report = json.loads((tmp_path / "out.json").read_text())
    (pii,) = report["detectors"]
    assert [one["set"] for one in pii["sets"]] == ["presidio_generated_small"]
    assert pii["ordinary"] == [{"source": "mtbench", "texts": 2, "flagged": 1, "rate": 0.5}]
    assert [one["file"] for one in report["data"]] == [
        "pii/presidio_generated_small.json.gz",
        "traffic/mtbench_prompts.jsonl",
    ]


def test_what_wants_to_be_configured_is_left_out_unless_it_is_named(tmp_path):
    presidio_file(tmp_path / "data")
    options = EvaluationOptions(data=tmp_path / "data", names=["hub"], cost=False)
    with pytest.raises(DetectorError, match="hub"):
        run_evaluation(options, no_progress)
    report = weir("--data", "data", "--detector", "hub")
    assert report.exit_code == 1
    assert "weir: detector hub" in report.stderr


def test_a_study_of_a_stream_runs_by_name_alone(tmp_path):
    presidio_file(tmp_path / "data")
    result = weir("--data", "data", "--detector", "anomaly", "--runs", "1", "--json", "out.json")
    assert result.exit_code == 0, result.stderr
    assert "latency three times as long" in result.stdout
    report = json.loads((tmp_path / "out.json").read_text())
    assert report["detectors"] == []
    assert {row["detector"] for row in report["streams"]} == {"anomaly"}
    assert len(report["streams"]) == 7  # the false alarms, and six changes


def test_the_configured_threshold_is_what_is_measured(tmp_path):
    presidio_file(tmp_path / "data")
    (tmp_path / "weir.toml").write_text("[detectors.options.pii]\nthreshold = 1.0\n")
    result = weir("--data", "data", "--detector", "pii", "--no-cost", "--json", "out.json")
    assert result.exit_code == 0, result.stderr
    (pii,) = json.loads((tmp_path / "out.json").read_text())["detectors"]
    assert pii["config"]["threshold"] == 1.0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "no data to measure on: name the folder"),
        (["--data", "nowhere"], "nowhere is no folder"),
        (["--data", "."], "contains none of the"),
        (["--data", ".", "--detector", "pi"], "no detector is named 'pi': choose one of pii"),
        (["--data", ".", "--study", "speed"], "there is no study 'speed': choose one of drift"),
        (["--file", "a.csv"], "--file needs --columns, for example"),
        (["--file", "a.csv", "--columns", "text=t,label=l"], "no detector is named for these texts"),
        (["--file", "a.csv", "--columns", "text=t,label=l", "--detector", "drift"], "drift reads a stream"),
        (["--file", "a.csv", "--columns", "text=t,label=x", "--detector", "pii"], "has no column 'x'"),
        (["--file", "a.csv", "--columns", "text=t,label=l", "--detector", "pii"], "label 'hate'"),
        (["--data", ".", "--json", "nowhere/out.json"], "nowhere is no folder; create it"),
    ],
)
def test_an_error_is_one_line_that_says_what_to_do(tmp_path, arguments, message):
    (tmp_path / "a.csv").write_text("t,l\na,hate\n")
    result = weir(*arguments)
    assert result.exit_code == 1
    assert message in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("library", ["sklearn.metrics", "matplotlib.figure"])
def test_a_missing_library_is_reported_with_its_extra_before_the_work(tmp_path, library):
    # A process of its own: here every library is imported by now.
    script = f"import sys; sys.modules[{library!r}] = None; from weir.cli import main; main()"
    command = [sys.executable, "-c", script, "eval", "--data", "."]
    result = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert "pip install 'weir-llm[stream,eval]'" in result.stderr
    assert "reading the data" not in result.stderr
