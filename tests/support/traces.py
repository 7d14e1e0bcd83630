"""Read the spans of one trace from MLflow's API, and check that they are connected."""

import json

import httpx
import msgspec

from support.stack import until


class SpanSeen(msgspec.Struct, frozen=True, kw_only=True):
    span_id: str
    name: str
    parent_span_id: str = ""
    links: list[dict[str, object]] = []
    attributes: list[dict[str, object]] = []


def spans_of(stack, trace_id):
    """Return the spans of a trace (hex id) that have arrived so far."""
    port = json.loads((stack.home / "ports.json").read_text())["mlflow"]
    url = f"http://127.0.0.1:{port}/api/3.0/mlflow/traces/get"
    answer = httpx.get(url, params={"trace_id": f"tr-{trace_id}"}, timeout=30, verify=False)  # reads no certificates
    if answer.status_code != 200:
        return []
    return msgspec.convert(answer.json()["trace"].get("spans", []), list[SpanSeen], strict=False)


def spans_when(stack, trace_id, names, seconds=60):
    """Wait until spans of all `names` have arrived and the trace is connected, and return the spans."""

    last = []

    def check():
        last[:] = spans_of(stack, trace_id)
        return last if set(names) <= {span.name for span in last} and connected(last) else None

    try:
        return until(f"spans {sorted(names)} of trace {trace_id}", check, seconds)
    except AssertionError:
        print(f"arrived: {[(span.name, span.span_id, span.parent_span_id) for span in last]}")
        raise


def connected(spans):
    """Return whether there is one root, and the parent of every other span has arrived."""
    ids = {span.span_id for span in spans}
    return len([span for span in spans if span.parent_span_id not in ids]) == 1
