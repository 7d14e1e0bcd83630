"""Golden bytes and examples are valid against the published schemas."""

import base64
import json
import re
from pathlib import Path
from typing import get_args

import jsonschema
import pytest

from serving.backend import Operation
from serving.inference_records import EndStatus
from stream.contract import event_schema
from stream.contract.attributes import EVENT_HEADERS
from stream.contract.examples import example, example_event
from stream.contract.flow import KEYS
from stream.wire import EVENT_TYPES, decode, inference_key, stream_key

GOLDEN = sorted((Path(__file__).parents[1] / "wire" / "golden").glob("*/*.json"))


def fits(headers, payload):
    jsonschema.validate(headers, EVENT_HEADERS, cls=jsonschema.Draft202012Validator)
    schema = event_schema(headers["ce_type"])
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(payload, schema, cls=jsonschema.Draft202012Validator)


@pytest.mark.parametrize("path", GOLDEN, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_golden_bytes_are_valid(path):
    raw = json.loads(path.read_text())
    fits(dict(raw["headers"]), json.loads(base64.b64decode(raw["value"])))


@pytest.mark.parametrize("kind", sorted(EVENT_TYPES))
def test_examples_are_valid_and_can_be_decoded(kind):
    shown = example(kind)
    fits(shown["headers"], shown["payload"])
    headers = [(name, value.encode()) for name, value in shown["headers"].items()]
    assert decode(json.dumps(shown["payload"]).encode(), headers).type == kind


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("weir.alert.v1", {"opened_at": "now"}),
        ("weir.verdict.v1", {"spans": [{"start": 0}]}),
        ("weir.inference.request.v1", {"messages": [{"role": "user", "content": 3}]}),
        ("weir.inference.request.v2", {"messages": [{"role": "user", "parts": [{"type": "text", "content": 3}]}]}),
        ("weir.inference.request.v2", {"messages": [{"role": "user", "parts": [{"type": "song", "content": "la"}]}]}),
        ("weir.retraining.v1", {"data": {"from": {}}}),
    ],
)
def test_the_schema_rejects_what_the_codec_rejects(kind, change):
    shown = example(kind)
    with pytest.raises(jsonschema.ValidationError):
        fits(shown["headers"], shown["payload"] | change)


RETRAINING = """requested suppressed approved rejected dataset started progress trained completed blessed refused
 shadow canary promoted rolled_back failed expired"""


@pytest.mark.parametrize(
    ("kind", "field", "values"),
    [
        ("weir.inference.request.v2", "operation", get_args(Operation)),
        ("weir.inference.response.v2", "operation", get_args(Operation)),
        ("weir.inference.response.v2", "status", get_args(EndStatus)),
        ("weir.retraining.v1", "state", RETRAINING.split()),
        ("weir.finding.v1", "side", ["", "input", "output"]),
        ("weir.alert.v1", "side", ["", "input", "output"]),
        ("weir.silence.v1", "side", ["", "input", "output"]),
    ],
)
def test_the_schema_names_every_value_that_this_version_writes(kind, field, values):
    assert sorted(event_schema(kind)["properties"][field]["examples"]) == sorted(values)


def test_the_keys_of_the_examples_are_those_of_the_partitioner():
    event = example_event("weir.inference.request.v2")
    assert event.partitionkey == inference_key(event.data.tenant, event.data.conversation_id)


def test_the_key_of_a_stream_names_all_its_fields():
    assert stream_key("acme", "gpt", "input", "", "m_1").split("\x1f") == ["acme", "gpt", "input", "", "m_1"]
    assert KEYS["weir.signal.v1"] == KEYS["weir.finding.v1"]
    assert 'the fourth field is the part group or "", and the fifth the version' in KEYS["weir.finding.v1"]


@pytest.mark.parametrize("name", ["revision", "evidence", "causation_ids", "principals", "score", "statistic"])
def test_the_schema_of_an_alert_explains_the_fields_that_consumers_compare(name):
    assert f"`{name}`" in event_schema("weir.alert.v1")["description"]


@pytest.mark.parametrize("label", ["ok", "error", "unknown", "unsupported_language"])
def test_the_schema_of_a_verdict_names_every_label_without_a_finding(label):
    assert f"``{label}``" in event_schema("weir.verdict.v1")["description"]


def test_the_page_for_an_own_trainer_names_every_required_field():
    page = (Path(__file__).parents[3] / "docs" / "loop.md").read_text(encoding="utf-8")
    section = page.partition("### Your own trainer")[2]
    row = next(line for line in section.splitlines() if line.startswith("| `started`"))
    assert set(event_schema("weir.retraining.v1")["required"]) <= set(re.findall(r"`(\w+)`", row))


def test_unknown_fields_and_headers_are_valid():
    shown = example("weir.alert.v1")
    fits(shown["headers"] | {"ce_tomorrow": "x"}, shown["payload"] | {"tomorrow": 1})
