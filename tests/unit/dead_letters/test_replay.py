"""What `weir dlq replay` says of a letter that it cannot put back: what is wrong, its bound, and what to do."""

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
from weir.dead_letters.topic_reader import DeadLetterLog

KAFKA = KafkaSettings(bootstrap_servers="127.0.0.1:1")


def record(topic="weir.inference"):
    """Return a dead letter of `topic`, partition 0, as it lies on the log."""
    source = SimpleNamespace(topic=topic, partition=0, offset=42, key=b"k", value=b"words", headers=())
    headers = dead_letter_headers(source, stage="score", place="p", error="ValueError", disposition="bug")
    return SimpleNamespace(offset=7, timestamp=1_500, key=b"k", value=b"words", headers=headers)


@pytest.fixture
def put_back(monkeypatch):
    """Put one letter back on topics that are simulated; return what is told of it."""

    async def run(letter, *, held=True, refusal=None):
        async def counts(_options, _names):
            return {"weir.inference": 1, "weir.signals": 1}

        async def records(_self, _offsets):
            for one in [letter] if held else []:
                yield one

        async def send(*_, **__):
            raise refusal

        @asynccontextmanager
        async def client(_options, **_):
            yield SimpleNamespace(send_and_wait=send)

        monkeypatch.setattr(module, "partition_counts", counts)
        monkeypatch.setattr(module, "consumer_for", client)
        monkeypatch.setattr(module, "producer_for", client)
        monkeypatch.setattr(DeadLetterLog, "records", records)
        (outcome,) = await module.replay(KAFKA, [letter_of(letter)])
        assert outcome.result == module.FAILED
        return outcome.detail

    return run


async def test_a_letter_that_expires_meanwhile_is_told_what_keeps_letters_longer(put_back):
    told = await put_back(record(), held=False)
    assert told == "it expired while this ran: [kafka] retention_hours keeps letters longer"


async def test_a_letter_of_another_prefix_names_the_topics_that_there_are_and_the_setting(put_back):
    assert await put_back(record("other.inference")) == (
        "its headers name other.inference-0; Weir's topics here are weir.inference, weir.signals: set "
        "WEIR_KAFKA__TOPIC_PREFIX, or write it yourself from `weir dlq show 7 --text`"
    )


async def test_a_refusal_of_the_broker_says_where_to_look(put_back):
    told = await put_back(record(), refusal=TopicAuthorizationFailedError())
    assert told == (
        "the broker refuses it: TopicAuthorizationFailedError; see the broker's log and this user's rights to write"
    )


async def test_a_letter_that_is_too_large_says_its_size_and_whose_bound(put_back):
    told = await put_back(record(), refusal=MessageSizeTooLargeError())
    assert told == "5 bytes are over max.message.bytes of weir.inference; raise it there, then replay again"


def test_an_offset_without_a_letter_is_named_with_the_command_that_lists_them(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WEIR_KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:1")
    monkeypatch.setattr("weir.cli.dlq._letters", lambda _kafka, _since: [])
    done = CliRunner().invoke(main, ["dlq", "replay", "17"])
    assert done.exit_code == 1
    assert done.stdout == ("17  failed: no dead letter at offset 17; `weir dlq list` prints those that are held\n")
