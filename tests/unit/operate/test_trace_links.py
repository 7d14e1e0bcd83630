"""Links to the page of a trace."""

import pytest

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
def test_a_link_leads_to_the_viewer_that_has_the_traces(endpoint, view, trace_id, page):
    settings = Settings.model_validate({"trace": {"endpoint": endpoint, "view": view}})
    assert trace_page(settings, MLFLOW, trace_id) == page
