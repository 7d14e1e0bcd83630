"""Links to the page of a trace."""

import pytest

from weir.local.plan import Component, Plan, save_plan
from weir.operate.trace_links import trace_page
from weir.settings import Settings

MLFLOW = "http://127.0.0.1:5000"
COLLECTOR = "http://otel-collector:4318/v1/traces"


@pytest.mark.parametrize(
    ("endpoint", "view", "trace_id", "page"),
    [
        ("", "", "aa", f"{MLFLOW}/#/experiments/0/traces?selectedEvaluationId=tr-aa"),
        (COLLECTOR, "", "aa", ""),
        (COLLECTOR, "http://jaeger/trace/{trace_id}", "aa", "http://jaeger/trace/aa"),
        ("", "http://jaeger/trace/{trace_id}", "", ""),
    ],
)
def test_a_link_leads_to_the_viewer_that_has_the_traces(tmp_path, endpoint, view, trace_id, page):
    mlflow = Component(name="mlflow", argv=["mlflow"], address=MLFLOW, health_url=f"{MLFLOW}/health")
    save_plan(Plan(home=str(tmp_path), run_dir="", components=[mlflow], broker="given", bootstrap="", ports={}))
    settings = Settings.model_validate({"home": tmp_path, "trace": {"endpoint": endpoint, "view": view}})
    assert trace_page(settings, trace_id) == page


def test_a_home_without_a_stack_has_no_viewer(tmp_path):
    assert trace_page(Settings.model_validate({"home": tmp_path})) == ""
