"""Restore the stack of a lost machine on another machine, with the same Kafka (docs/operate.md, "Back up and restore")."""

import shutil

import pytest
from support.component_process import component_process
from support.kafka_log import fresh_topics, until
from support.running_ledger import running_ledger
from support.spool import Spool

from serving.capture.balance import read_balance
from weir.home.api_keys import create_key, list_keys

pytestmark = pytest.mark.kafka


def serve_one(home, name):
    """Record a request and its end as a gateway does; leave the spool as SIGKILL would."""
    spool = Spool(home / "spool")
    spool.request(name)
    spool.end(name)
    spool.kill()


def is_complete(story):
    return story is not None and story.events is not None and len(story.events.locations) == 2


async def test_the_restored_stack_has_the_keys_the_requests_and_the_undelivered_records(broker, tmp_path):
    kafka = await fresh_topics(broker.bootstrap)
    lost, restored = tmp_path / "lost", tmp_path / "other" / "path"
    (lost / "spool").mkdir(parents=True)
    key, _ = create_key(lost, "acme")
    serve_one(lost, "delivered")
    async with component_process("shipper", lost / "spool", kafka):
        await until("two delivered records", lambda: read_balance(lost / "spool").delivered == 2)
    serve_one(lost, "undelivered")
    restored.mkdir(parents=True)
    shutil.copytree(lost / "spool", restored / "spool")
    shutil.copy2(lost / "keys.json", restored)
    shutil.rmtree(lost)

    async with component_process("shipper", restored / "spool", kafka), running_ledger(restored, kafka) as reader:
        await until("a heartbeat of the ledger", reader.heartbeat)
        for name in ("delivered", "undelivered"):
            await until(f"request {name}", lambda name=name: is_complete(reader.request(name)))
    assert list_keys(restored) == [key]
