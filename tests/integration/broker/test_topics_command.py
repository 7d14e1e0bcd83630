import asyncio
import json
import uuid

import pytest
from click.testing import CliRunner
from support.kafka_log import until

from stream.kafka.admin import list_topics
from stream.settings import KafkaSettings
from weir.cli import main
from weir.local.create_topics import ensure_topics
from weir.settings import Settings

pytestmark = pytest.mark.kafka


def test_topics_are_created_and_listed_by_the_command(broker, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    prefix = f"c{uuid.uuid4().hex[:8]}."
    monkeypatch.setenv("WEIR_KAFKA__BOOTSTRAP_SERVERS", broker.bootstrap)
    monkeypatch.setenv("WEIR_KAFKA__TOPIC_PREFIX", prefix)

    def run(*arguments):
        return CliRunner().invoke(main, list(arguments))

    created = json.loads(run("topics", "create", "--json").output)["created"]
    assert len(created) == 10
    assert json.loads(run("topics", "create", "--json").output)["created"] == []
    listed = json.loads(run("topics", "--json").output)
    assert {entry["topic"] for entry in listed} == set(created)
    assert all(
        entry.keys() == {"topic", "partitions", "retention_ms", "cleanup_policy", "messages"} for entry in listed
    )
    monkeypatch.setenv("WEIR_KAFKA__PARTITIONS", "3")
    refused = run("topics", "create")
    assert refused.exit_code == 1
    assert f"{prefix}inference has 8 partitions, the settings require 3" in refused.output


@pytest.mark.parametrize("alters", [True, False])
def test_a_changed_retention_is_set_on_a_local_broker_and_noted_for_another(broker, alters):
    prefix = f"c{uuid.uuid4().hex[:8]}."

    def ensure(**changed):
        settings = Settings(kafka=KafkaSettings(topic_prefix=prefix, **changed))
        return ensure_topics(settings, broker.kind if alters else "given", broker.bootstrap)

    async def has(hours):
        listed = await list_topics({"bootstrap_servers": broker.bootstrap}, prefix)
        kept = {info.topic.removeprefix(prefix): info.retention_ms / 3_600_000 for info in listed}
        return {name: kept[name] for name in hours} == hours

    ensure()
    created, note = ensure(retention_hours=12)
    assert created == []
    assert "168 h" in note
    assert "12 h" in note
    assert f"{prefix}inference, {prefix}verdicts" in note
    assert f"{prefix}alerts" not in note  # it is compacted
    if alters:
        asyncio.run(
            until("the new retention", lambda: has({"inference": 12, "verdicts": 12, "signals": 12, "replay": 12}))
        )
        assert ensure(retention_hours=12) == ([], "")
    else:
        assert asyncio.run(has({"inference": 168, "verdicts": 168, "replay": 24}))
        config = "retention.ms=43200000,retention.bytes=1073741824,segment.ms=5400000,segment.bytes=134217728"
        assert f"--entity-name {prefix}inference --add-config {config}" in note


def test_an_unreachable_broker_is_named_in_the_error(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WEIR_KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:1")
    result = CliRunner().invoke(main, ["topics"])
    assert result.exit_code == 1
    assert "no Kafka answers at 127.0.0.1:1" in result.output
