"""The dashboards are what deploy/grafana makes them, whole, and ask of rules and data sources that exist. That their queries have data
is tests/e2e/test_dashboards.py's."""

import json
import re
import subprocess
import sys
from urllib.parse import parse_qs, urlsplit

import pytest
import yaml
from prometheus_client import CollectorRegistry, generate_latest
from support.dashboards import FILES, ROOT, asked, boards, choices

from serving.gateway.metrics import GatewayMetrics, Outcome

GRAFANA = ROOT / "deploy" / "grafana"
UIDS = {"weir-requests", "weir-detectors", "weir-drift", "weir-alerts", "weir-capture", "weir-cost"}


def sources():
    provisioned = yaml.safe_load((GRAFANA / "provisioning/datasources/weir.yaml").read_text())["datasources"]
    return {(one["type"], one["uid"]) for one in provisioned}


def test_the_files_are_what_the_module_writes(tmp_path):
    subprocess.run([sys.executable, GRAFANA, tmp_path], check=True, timeout=60)
    written = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert written == {path.name: path.read_text() for path in FILES}, "run `make reference`"
    assert {board["uid"] for board in boards()} == UIDS


@pytest.mark.parametrize("board", boards(), ids=lambda board: board["uid"])
def test_a_dashboard_is_whole(board):
    assert board["schemaVersion"] >= 41
    panels = board["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        assert panel["title"]
        assert panel["description"].endswith(".")
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        known = {
            (one["type"], one["uid"]) for one in (panel["datasource"], *(t["datasource"] for t in panel["targets"]))
        }
        assert known <= sources()
        if panel["targets"]:
            assert panel["fieldConfig"]["defaults"]["unit"]
            assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])


def test_panels_do_not_overlap():
    for board in boards():
        taken = set()
        for panel in board["panels"]:
            place = panel["gridPos"]
            cells = {
                (x, y)
                for x in range(place["x"], place["x"] + place["w"])
                for y in range(place["y"], place["y"] + place["h"])
            }
            assert taken.isdisjoint(cells), f"{board['uid']}: {panel['title']}"
            taken |= cells


def test_recorded_series_that_are_asked_for_are_recorded():
    groups = yaml.safe_load((ROOT / "deploy/prometheus/rules/recording.yml").read_text())["groups"]
    recorded = {rule["record"] for group in groups for rule in group["rules"]}
    wanted = {name for board in boards() for _, text in asked(board) for name in re.findall(r"weir:[a-z0-9_:]+", text)}
    assert wanted
    assert wanted <= recorded


def test_alerts_lead_to_their_traces():
    (alerts,) = (board for board in boards() if board["uid"] == "weir-alerts")
    links = [link["url"] for panel in alerts["panels"] for link in panel["fieldConfig"]["defaults"].get("links", ())]
    assert any("jaeger" in url and "alert%20${__field.labels.detector}" in url for url in links)


def test_numbers_and_bars_show_no_series_that_has_ended():
    for board in boards():
        for panel in board["panels"]:
            if panel["type"] in {"stat", "bargauge"}:
                kinds = [(target.get("instant"), target["range"]) for target in panel["targets"]]
                assert kinds == [(True, False)], f"{board['uid']}: {panel['title']}"


def test_links_search_for_names_of_spans():
    links = [link for board in boards() for panel in board["panels"] for link in _links(panel)]
    searched = [pane["queries"][0] for link in links for pane in json.loads(link["panes"][0]).values()]
    # Without an operation Jaeger returns all; "all" is the name of a span for it.
    named = {(one["service"], one.get("operation", "").partition(" ")[0]) for one in searched}
    assert named == {
        ("weir-gateway", ""),
        ("weir-score", "evaluate"),
        ("weir-watch", "evaluate"),
        ("weir-watch", "alert"),
    }


def test_a_model_whose_requests_all_fail_can_be_chosen_and_is_named():
    registry = CollectorRegistry()
    outcome = Outcome(
        operation="chat",
        model="dead",
        status="error",
        error_type="upstream_unreachable",
        failed=True,
        seconds=0.1,
        first_token_seconds=None,
        prompt_tokens=0,
        completion_tokens=0,
    )
    GatewayMetrics(registry).ended(outcome)
    (requests,) = (board for board in boards() if board["uid"] == "weir-requests")
    (series,) = choices(requests)
    (line,) = (line for line in generate_latest(registry).decode().splitlines() if line.startswith(f"{series}{{"))
    assert 'error_type="upstream_unreachable"' in line
    assert 'gen_ai_request_model="dead"' in line
    (failures,) = (panel["targets"][0] for panel in requests["panels"] if panel["title"] == "Failures")
    assert failures["legendFormat"] == "{{gen_ai_request_model}} {{error_type}}"


def _links(panel):
    return [parse_qs(urlsplit(link["url"]).query) for link in panel["fieldConfig"]["defaults"].get("links", ())]
