"""Letters that `weir dlq replay` cannot replay: the result names the cause, the value and the remedy."""

from contextlib import asynccontextmanager
from types import SimpleNamespace

import pytest
from aiokafka.errors import MessageSizeTooLargeError, TopicAuthorizationFailedError
from click.testing import CliRunner

from stream.dead_letters import dead_letter_headers
from stream.settings import KafkaSettings
from weir.cli import main
from weir.dead_letters import replay as module
from weir.dead_letters.letter import letter_of
from weir.dead_letters.topic_reader import DeadLetterTopic

KAFKA = KafkaSettings(bootstrap_servers="127.0.0.1:1")


def record():
    """Return a record of the dead-letter topic."""
    source = SimpleNamespace(topic="weir.inference", partition=0, offset=42, key=b"k", value=b"words", headers=())
    headers = dead_letter_headers(source, stage="score", place="p", error="ValueError", disposition="bug")
    return SimpleNamespace(offset=7, timestamp=1_500, key=b"k", value=b"words", headers=headers)


@pytest.mark.parametrize(
    ("error", "named"),
    [
        (TopicAuthorizationFailedError(), ["TopicAuthorizationFailedError", "ACLs"]),
        (MessageSizeTooLargeError(), ["5 bytes", "max.message.bytes of weir.inference"]),
    ],
    ids=["no right to write", "too large"],
)
async def test_a_letter_that_cannot_be_replayed_names_cause_and_remedy(monkeypatch, error, named):
    async def send(*_, **__):
        raise error

    outcome = await replayed(monkeypatch, send)
    assert outcome.result == module.FAILED
    assert [part for part in named if part not in outcome.detail] == [], outcome.detail


async def test_a_record_that_was_written_and_not_noted_is_named(monkeypatch):
    """The user may write the source topic and not the dead-letter topic: a further replay writes the record again."""

    async def send(topic, *_, **__):
        if topic == "weir.inference.dlq":
            raise TopicAuthorizationFailedError
        return SimpleNamespace(offset=99)

    outcome = await replayed(monkeypatch, send)
    assert outcome.result == module.FAILED
    named = ["weir.inference-0 offset 99", "TopicAuthorizationFailedError", "Write on weir.inference.dlq"]
    assert [part for part in named if part not in outcome.detail] == [], outcome.detail


async def replayed(monkeypatch, send):
    """Return the outcome of the replay of a letter through a producer with the function `send`."""

    async def counts(_options, _names):
        return {"weir.inference": 1}

    async def records(_self, _offsets):
        yield record()

    @asynccontextmanager
    async def client(_options, **_):
        yield SimpleNamespace(send_and_wait=send)

    monkeypatch.setattr(module, "partition_counts", counts)
    monkeypatch.setattr(module, "consumer_for", client)
    monkeypatch.setattr(module, "producer_for", client)
    monkeypatch.setattr(DeadLetterTopic, "records", records)
    (outcome,) = await module.replay(KAFKA, [letter_of(record())])
    return outcome


def test_an_offset_without_a_letter_fails_and_names_the_command_that_lists_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WEIR_KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.setattr("weir.cli.dlq._letters", lambda _kafka, _since: [])
    done = CliRunner().invoke(main, ["dlq", "replay", "17"])
    assert done.exit_code == 1
    assert done.stdout.startswith("17  failed: ")
    assert "weir dlq list" in done.stdout
