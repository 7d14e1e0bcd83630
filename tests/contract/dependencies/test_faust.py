"""Names of Faust and mode that Weir overrides or uses and that are not public."""

import re

import pytest
from support.private_names import check, check_pin, names, sources

from stream.runtime.app import create_base_app
from stream.runtime.overrides import require_attributes
from stream.settings import KafkaSettings

DRIVER = "faust.transport.drivers.aiokafka"
TRANSPORT, TABLE, APP, WORKER = (f"stream/runtime/{name}.py" for name in ("transport", "table", "app", "worker"))

OVERRIDES = [
    *names(TRANSPORT, f"{DRIVER}:AIOKafkaConsumerThread", _create_consumer="self, loop"),
    *names(
        TRANSPORT,
        f"{DRIVER}:Consumer",
        _add_gap="self, tp, offset_from, offset_to",
        _filter_tps_with_pending_acks="self, topics",
        _getmany="self, active_partitions, timeout",
        _new_consumer_thread="self",
        _new_offset="self, tp",
        ack="self, message",
        on_buffer_drop="self, tp",
        on_partitions_assigned="self, assigned, generation_id",
        on_partitions_revoked="self, revoked",
        pause_partitions="self, tps",
        perform_seek="self",
        resume_flow="self",
        resume_partitions="self, tps",
        seek_to_committed="self",
        seek_wait="self, partitions",
    ),
    *names(
        TRANSPORT,
        f"{DRIVER}:Producer",
        _settings_extra="self",
        send="self, topic, key, value, partition, timestamp, headers, *, transactional_id",
    ),
    *names(
        TRANSPORT, f"{DRIVER}:Transport", _create_topic="self, owner, client, topic, partitions, replication, **kwargs"
    ),
    *names(
        TABLE,
        "faust:Table",
        apply_changelog_batch="self, batch",
        on_key_del="self, key",
        on_key_set="self, key, value",
        on_recovery_completed="self, active_tps, standby_tps",
        on_start="self",
    ),
    *names(APP, "faust:App", _new_producer_transport="self", _new_transport="self", on_start="self", on_stop="self"),
    *names(
        WORKER,
        "faust:Worker",
        _schedule_shutdown="self, signal",
        on_execute="self",
        on_start="self",
        on_stop="self",
        on_worker_shutdown="self",
    ),
]
USED = [
    *names(TRANSPORT, f"{DRIVER}:Transport", Consumer="", Producer=""),
    *names(TRANSPORT, f"{DRIVER}:Producer", _ensure_producer="self"),
    *names(TRANSPORT, f"{DRIVER}:AIOKafkaConsumerThread", seek_to_beginning="self, *partitions"),
    *names(TRANSPORT, "faust.exceptions:NotReady", args=""),
    *names(TRANSPORT, "faust.exceptions:ProducerSendError", args=""),
    *names(APP, "faust:App", add_future="self, coro", crash="self, reason", rebalancing="", topics=""),
    *names(APP, "faust.transport.conductor:Conductor", acks_enabled_for="self, topic"),
    *names(WORKER, "faust:Worker", execute_from_commandline="self"),
    *names("stream/stages/score/agent.py", "faust:Stream", noack="self", events="self"),
]


@pytest.mark.parametrize("private", OVERRIDES + USED, ids=lambda private: private.name)
def test_a_private_name_is_as_weir_expects(private):
    check(private)


@pytest.mark.parametrize("private", OVERRIDES, ids=lambda private: private.name)
def test_an_override_is_called(private):
    """A method that Faust has and no longer calls would silently do nothing."""
    method = private.name.rpartition(".")[2]
    calls = re.findall(rf"(?<!super\(\))\.{method}\b(?!\s*=[^=])", sources("faust") + sources("mode"))
    assert calls, f"nothing calls {method}; look at {private.file}"


async def test_instances_have_the_attributes_that_weir_uses(tmp_path):
    app = create_base_app("x", KafkaSettings(bootstrap_servers="127.0.0.1:1"), data_dir=tmp_path)
    require_attributes(app, "_consumer", "consumer_generation_id", "rebalancing")
    consumer = app.consumer
    consumer._thread.thread_loop.close()
    require_attributes(
        consumer, "_buffered_partitions", "_committed_offset", "_paused_partitions", "_thread", "_unacked_messages"
    )
    assert consumer.committed("t") is None
    assert consumer.member_id == ""
    require_attributes(consumer._thread, "_consumer")
    require_attributes(app.raw_table("t", 2).data, "_key_partition")


def test_the_version_is_pinned():
    check_pin("faust-streaming")
