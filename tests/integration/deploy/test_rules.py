"""deploy/prometheus/rules, checked by the real promtool; each runbook address is a section of an existing page."""

import itertools
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from prometheus_client import CollectorRegistry
from support.delivery_events import verdict
from support.programs import promtool

from stream.stages.score.metrics import ScoreMetrics

ROOT = Path(__file__).parents[3]
RULES = ROOT / "deploy" / "prometheus" / "rules"
FILES = sorted(RULES.glob("*.yml"))
TESTS = sorted((RULES / "tests").glob("*_test.yml"))


def ran(*arguments):
    done = subprocess.run([promtool(), *arguments], capture_output=True, text=True, timeout=110, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def alerts():
    groups = [group for path in FILES for group in yaml.safe_load(path.read_text())["groups"]]
    return [rule for group in groups for rule in group["rules"] if "alert" in rule]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_the_rules_are_valid(path):
    assert "SUCCESS" in ran("check", "rules", str(path))


def completed(tests):
    """Return `tests` with the labels and annotations that each expected alert has from its rule."""
    rules = {rule["alert"]: rule for rule in alerts()}
    for case in (case for test in tests["tests"] for case in test.get("alert_rule_test", ())):
        for alert, kind in itertools.product(case["exp_alerts"], ("labels", "annotations")):
            alert[f"exp_{kind}"] = rules[case["alertname"]][kind] | alert.get(f"exp_{kind}", {})
    return tests | {"rule_files": list(map(str, FILES))}


@pytest.mark.parametrize("path", TESTS, ids=lambda path: path.name)
def test_the_rules_pass_their_tests(path, tmp_path):
    (tmp_path / path.name).write_text(yaml.safe_dump(completed(yaml.safe_load(path.read_text()))))
    assert "SUCCESS" in ran("test", "rules", str(tmp_path / path.name))


def test_every_alert_has_a_test_in_which_it_fires_and_one_in_which_it_does_not():
    cases = [
        case
        for path in TESTS
        for test in yaml.safe_load(path.read_text())["tests"]
        for case in test.get("alert_rule_test", ())
    ]
    names = {rule["alert"] for rule in alerts()}
    assert {case["alertname"] for case in cases if case["exp_alerts"]} == names
    assert {case["alertname"] for case in cases if not case["exp_alerts"]} == names


@pytest.mark.parametrize("rule", alerts(), ids=lambda rule: rule["alert"])
def test_every_alert_has_a_summary_and_a_runbook_address_that_exists(rule):
    assert rule["labels"]["severity"] in {"info", "warning", "critical"}
    assert {"summary", "description"} <= rule["annotations"].keys()
    page, _, anchor = rule["annotations"]["runbook_url"].partition("#")
    headings = re.findall(r"^## (.+)$", (ROOT / page).read_text(), re.MULTILINE)
    assert anchor in {heading.lower().replace(" ", "-") for heading in headings}


def _labels():
    """Return the values of the metric's label for a verdict that is not flagged and for one that is flagged."""
    registry = CollectorRegistry()
    metrics = ScoreMetrics(registry)
    for flagged in (False, True):
        metrics.verdict(verdict(1, "m_1", flagged=flagged).data)
    (family,) = (one for one in registry.collect() if one.name == "weir_score_verdicts")
    return [sample.labels["label"] for sample in family.samples if sample.name == "weir_score_verdicts_total"]


@pytest.mark.parametrize(("clear", "flagged"), [(100, 0), (75, 25), (0, 100)])
def test_the_rollout_example_reads_the_share_of_flagged_answers(clear, flagged, tmp_path):
    documents = yaml.safe_load_all((ROOT / "deploy/rollouts/argo-rollout.yaml").read_text())
    (template,) = (one["spec"] for one in documents if one["kind"] == "AnalysisTemplate")
    expression = template["metrics"][0]["provider"]["prometheus"]["query"]
    answers = [("repetition", _labels(), (clear, flagged)), ("refusal", _labels(), (clear + flagged, 0))]
    series = [
        {"series": f'weir_score_verdicts_total{{detector="{detector}",label="{label}"}}', "values": f"0+{count}x40"}
        for detector, labels, counts in answers
        for label, count in zip(labels, counts, strict=True)
        if count
    ]
    rule = {"record": "share", "expr": expression}
    expected = {"expr": "share", "eval_time": "8m", "exp_samples": [{"labels": "share", "value": flagged / 100}]}
    test = {"interval": "15s", "input_series": series, "promql_expr_test": [expected]}
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "rollout", "rules": [rule]}]}))
    (tmp_path / "test.yml").write_text(yaml.safe_dump({"rule_files": ["rules.yml"], "tests": [test]}))
    assert "SUCCESS" in ran("test", "rules", str(tmp_path / "test.yml"))
