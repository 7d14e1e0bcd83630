"""Content in the log: only stream/content.py reads it.

Each other decoder of events is listed here with the records that it reads.
"""

import ast
import asyncio
from pathlib import Path

import pytest
from support.events import a_request
from support.golden_events import NAMES, golden
from support.ledger_log import Log, request

from stream import content
from stream.content import Content, content_at, readable_content

ROOT = Path(__file__).parents[3]
CONTENT = "stream/content.py"
DECODERS = {"decode", "readable"}
#: Modules that decode events without their content: {path: records that the module reads}.
WITHOUT_CONTENT = {
    "stream/bridge/alert_reader.py": "alerts",
    "stream/bridge/webhook.py": "alerts",
    "stream/kafka/range_reader.py": "signals, findings, alerts, retraining events",
    "stream/kafka/tail.py": "those of the modules below that call its method `events`",
    "stream/ledger/ledger_file.py": "ids, numbers and offsets of all events",
    "stream/loop/delivery/agent.py": "verdicts, retraining events, model versions, routes",
    "stream/loop/lineage/read.py": "ids, times and flags of all events",
    "stream/loop/training/agent.py": "retraining events",
    "stream/loop/training/by_hand.py": "retraining events",
    "stream/replay/recorded_verdicts.py": "verdicts",
    "stream/replay/stream_replay.py": "signals",
    "stream/stages/shared/stage.py": "signals, findings, alerts, retraining events",
    "weir/client/client.py": "alerts, retraining events",
    "weir/demo/run.py": "verdicts, alerts, retraining events",
    "weir/operate/embedding_map.py": "signals",
    "weir/operate/model_lineage.py": "model versions",
    "weir/operate/retraining_decisions.py": "retraining events",
    "weir/operate/silences.py": "alerts, silences",
}
#: The fields of records with content.
CONTENT_FIELDS = {
    "messages", "context", "instructions", "located_parts", "parts", "answer", "comment", "prompt", "content", "tools",
}  # fmt: skip
CONTENT_FUNCTIONS = {"joined_text", "text_at"}


def modules():
    for package in ("stream", "serving", "weir"):
        for path in sorted((ROOT / package).rglob("*.py")):
            name = str(path.relative_to(ROOT))
            if not name.startswith("stream/wire/") and name != CONTENT:
                yield name, ast.parse(path.read_text())


def wire_names(tree):
    """Return the names that a module imports from stream.wire, or uses as ``wire.NAME``."""
    nodes = list(ast.walk(tree))
    imported = [
        alias.name
        for node in nodes
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("stream.wire")
        for alias in node.names
    ]
    used = [
        node.attr
        for node in nodes
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "wire"
    ]
    return {*imported, *used}


TREES = dict(modules())


def decodes(tree):
    """Return whether a module decodes events: with a function of stream.wire, or with ``Tail.events``."""
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) for alias in node.names}
    attributes = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    return bool(wire_names(tree) & DECODERS) or ("Tail" in imported and "events" in attributes)


def test_every_decoder_of_events_is_listed():
    found = {name for name, tree in TREES.items() if decodes(tree)}
    assert found == WITHOUT_CONTENT.keys(), f"use stream/content.py for weir.inference, else list the module: {found}"


@pytest.mark.parametrize("name", WITHOUT_CONTENT)
def test_a_decoder_of_other_records_uses_no_content(name):
    tree = TREES[name]
    fields = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)} & CONTENT_FIELDS
    assert not fields | (wire_names(tree) & CONTENT_FUNCTIONS)


@pytest.mark.parametrize("name", NAMES)
def test_content_is_decoded_and_a_damaged_record_is_decoded_as_none(name):
    _, value, headers = golden(name)
    event = readable_content(value, headers)
    assert isinstance(event.data, Content) == (name.split("/")[1] in {"request", "response", "aborted", "correction"})
    assert readable_content(value[:-2], headers) is None


@pytest.mark.parametrize(("request_id", "found"), [("r1", a_request("r1", "canary")), ("r2", None)])
def test_the_content_of_another_request_is_not_returned(request_id, found, monkeypatch):
    """A topic that was created again has other records at the offsets of the ledger."""
    (record,) = Log().inference(request("r1", 1.0, text="canary", owed=("pii",)))

    async def record_at(*_place):
        return record

    monkeypatch.setattr(content, "record_at", record_at)
    assert asyncio.run(content_at(None, "weir.inference", 0, 0, request_id)) == found
