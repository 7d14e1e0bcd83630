"""The span of a verdict: its status shows whether the detector read the text."""

import msgspec
import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode
from support.conventions import departures, exported
from support.ledger_log import request, verdict

from stream.stages.score.spans import ScoreSpans


@pytest.mark.parametrize(
    ("label", "covered", "status", "kind"),
    [
        ("ok", 1.0, StatusCode.UNSET, None),
        ("error", 0.0, StatusCode.ERROR, "no_verdict"),
        ("error", 0.4, StatusCode.ERROR, "partial_verdict"),
    ],
)
def test_the_span_of_a_verdict_that_is_an_error_has_the_status_of_an_error(label, covered, status, kind):
    kept, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    found = msgspec.structs.replace(verdict(request("r1", 1.0), "pii", label=label).data, covered=covered)
    with provider.get_tracer("test").start_as_current_span("parent") as parent:
        ScoreSpans(provider, "weir.inference", "score").evaluate(parent, found, None)
    evaluated, _ = kept.get_finished_spans()
    assert (evaluated.status.status_code, evaluated.attributes.get("error.type")) == (status, kind)
    assert departures(exported([evaluated])) == []
