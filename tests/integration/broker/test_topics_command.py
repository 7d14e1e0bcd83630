import json
import uuid

import pytest
from click.testing import CliRunner

from weir.cli import main

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


def test_an_unreachable_broker_is_named_in_the_error(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WEIR_KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:1")
    result = CliRunner().invoke(main, ["topics"])
    assert result.exit_code == 1
    assert "no Kafka answers at 127.0.0.1:1" in result.output
