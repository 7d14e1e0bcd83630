"""The committed contract agrees with the structs and with the official schema of AsyncAPI."""

import json
import re
from pathlib import Path

import jsonschema
import pytest

from stream.contract import asyncapi_document, contract_files
from stream.contract.flow import CHANNELS, FLOW, channel_messages
from stream.settings import KafkaSettings
from stream.wire import EVENT_TYPES

ROOT = Path(__file__).parents[3]
COMMITTED = ROOT / "docs" / "contract"
OFFICIAL = jsonschema.Draft7Validator(
    json.loads((Path(__file__).parent / "official" / "asyncapi-3.1.0.json").read_text())
)
DOCUMENT = asyncapi_document()


def test_the_committed_files_are_those_that_the_structs_generate():
    files = {str(path.relative_to(COMMITTED)): path.read_text() for path in COMMITTED.rglob("*.json")}
    assert files == contract_files(), "run `make reference` and commit docs/contract"


def test_the_official_asyncapi_schema_accepts_the_document():
    assert [error.message for error in OFFICIAL.iter_errors(DOCUMENT)] == []


def test_the_official_asyncapi_schema_rejects_an_invalid_document():
    document = json.loads(json.dumps(DOCUMENT))
    document["channels"]["inference"]["bindings"]["kafka"]["partitions"] = 0
    assert list(OFFICIAL.iter_errors(document))


@pytest.mark.parametrize("name", sorted(contract_files()))
def test_every_reference_exists(name):
    document = json.loads(contract_files()[name])
    for reference in set(re.findall(r'"\$ref": "([^"]+)"', contract_files()[name])):
        node = document
        for part in reference.removeprefix("#/").split("/"):
            assert part in node, reference
            node = node[part]


def test_every_topic_and_every_event_is_in_the_flow():
    names = KafkaSettings().names
    assert {getattr(names, channel.name) for channel in CHANNELS} == {topic.name for topic in KafkaSettings().topics()}
    assert set(EVENT_TYPES) <= {kind for channel in CHANNELS for kind in channel_messages(channel.name)}
    assert all(DOCUMENT["channels"][channel.name]["messages"] for channel in CHANNELS)
    assert len(DOCUMENT["operations"]) == len(FLOW)
