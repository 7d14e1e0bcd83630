"""The AsyncAPI 3.1 document: topics, producers and consumers, headers, keys, examples.

Specification: https://www.asyncapi.com/docs/reference/specification/v3.1.0, Kafka binding 0.5.0.
"""

import json
from collections.abc import Mapping
from importlib.metadata import version
from typing import Any

from stream.contract.attributes import DEAD_LETTER_HEADERS, EVENT_HEADERS
from stream.contract.examples import example
from stream.contract.flow import CHANNELS, DEAD_LETTER, FLOW, KEYS, Step, channel_messages
from stream.contract.schemas import components, event_schemas
from stream.settings import KafkaSettings
from stream.wire import EVENT_TYPES, Topic

_BINDING = "0.5.0"
_SCHEMAS = "#/components/schemas/{name}"
_SERVER = "kafka"

_DESCRIPTION = """\
Weir's topics. Records are CloudEvents 1.0 in Kafka's binary mode: attributes in `ce_` headers, data as JSON in the value.

Delivery is at least once; records with equal `ce_source` and `ce_id` are duplicates. Changes only add fields and types; none is renamed
or removed, and a consumer ignores unknown fields and types. Text of prompts and answers is only in the topic `inference`, and in dead
letters of records that could not be read or processed.

Topic names and partition counts are settings (`[kafka] topic_prefix`, `partitions`, `stream_partitions`, `retention_hours`,
`retention_bytes`); this document has the defaults. Topics that a stage joins have the same keys, the same number
of partitions and Kafka's default partitioner."""


def asyncapi_document() -> dict[str, Any]:
    """Return the document for topics with the default names, counts and retention."""
    return {
        "asyncapi": "3.1.0",
        "id": "urn:weir:events",
        "info": {
            "title": "Weir",
            "version": version("weir-llm"),
            "description": _DESCRIPTION,
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {_SERVER: _server()},
        "channels": _channels(KafkaSettings()),
        "operations": {f"{step.process}.{step.action}.{step.channel}": _operation(step) for step in FLOW},
        "components": {
            "schemas": components(_SCHEMAS) | {"EventHeaders": EVENT_HEADERS, "DeadLetterHeaders": DEAD_LETTER_HEADERS},
            "messages": {kind: _message(kind) for kind in EVENT_TYPES} | {DEAD_LETTER: _dead_letter()},
        },
    }


def _server() -> dict[str, Any]:
    return {
        "host": "{bootstrap}",
        "protocol": "kafka",
        "description": "Apache Kafka 4, `[kafka] bootstrap_servers`; SASL and TLS by `[kafka] security_protocol`.",
        "variables": {"bootstrap": {"default": "127.0.0.1:9092", "description": "host:port of a broker"}},
    }


def _channels(kafka: KafkaSettings) -> dict[str, Any]:
    names = kafka.names
    specs = {topic.name: topic for topic in kafka.topics()}
    return {
        channel.name: {
            "address": getattr(names, channel.name),
            "description": channel.description,
            "servers": [{"$ref": f"#/servers/{_SERVER}"}],
            "messages": {kind: {"$ref": f"#/components/messages/{kind}"} for kind in channel_messages(channel.name)},
            "bindings": {"kafka": _topic(specs[getattr(names, channel.name)])},
        }
        for channel in CHANNELS
    }


def _topic(topic: Topic) -> dict[str, Any]:
    return {
        "topic": topic.name,
        "partitions": topic.partitions,
        "topicConfiguration": {
            "cleanup.policy": [topic.cleanup_policy],
            "retention.ms": topic.retention_ms,
            "retention.bytes": topic.retention_bytes,
            "max.message.bytes": topic.max_message_bytes,
        },
        "bindingVersion": _BINDING,
    }


def _operation(step: Step) -> dict[str, Any]:
    channel = f"#/channels/{step.channel}"
    return {
        "action": step.action,
        "channel": {"$ref": channel},
        "tags": [{"name": step.process}],
        "messages": [{"$ref": f"{channel}/messages/{kind}"} for kind in step.messages],
    }


def _message(kind: str) -> dict[str, Any]:
    struct = EVENT_TYPES[kind].__name__
    typed = {"type": "object", "properties": {"ce_type": {"type": "string", "const": kind}}}
    headers = {"allOf": [{"$ref": "#/components/schemas/EventHeaders"}, typed]}
    return {
        "name": kind,
        "title": struct,
        "contentType": "application/json",
        "headers": headers,
        "payload": {"$ref": _SCHEMAS.format(name=struct)},
        "correlationId": {"location": "$message.header#/ce_correlationid"},
        "bindings": {"kafka": _key(kind)},
        "examples": [example(kind)],
    }


def _key(kind: str) -> dict[str, Any]:
    if not KEYS[kind]:
        return {"bindingVersion": _BINDING}
    return {"key": {"type": "string", "description": KEYS[kind]}, "bindingVersion": _BINDING}


def _dead_letter() -> dict[str, Any]:
    return {
        "name": DEAD_LETTER,
        "title": "DeadLetter",
        "description": "A record that a stage could not read or process, with its key and value: any bytes.",
        "contentType": "application/octet-stream",
        "headers": {"$ref": "#/components/schemas/DeadLetterHeaders"},
        "bindings": {"kafka": _key(DEAD_LETTER)},
    }


def contract_files() -> dict[str, str]:
    """Return {path below the contract folder: text of the file}, which ``weir contract --write`` writes."""
    schemas = {f"schemas/{name}.json": printed(schema) for name, schema in event_schemas().items()}
    return {"asyncapi.json": printed(asyncapi_document())} | schemas


def printed(document: Mapping[str, Any]) -> str:
    """Return `document` as indented JSON with a newline at the end."""
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"
