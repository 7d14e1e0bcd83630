"""Every dashboard panel has data in a real Prometheus with the real rules, and Alertmanager receives the alerts."""

import asyncio
import time

import pytest
from support.dashboards import asked, boards, choices
from support.load import send, send_many
from support.prometheus import watching

pytestmark = [pytest.mark.e2e, pytest.mark.kafka, pytest.mark.timeout(900)]
TOXIC = "You are a worthless idiot and everyone hates you, shut up and die."
SECONDS = 240


async def traffic(stack, key):
    """Send requests of every kind: not streamed, streamed and cancelled."""
    await send_many(stack.url, [key], ["whole", "stream", "whole", "stream", "cancel", "whole"], concurrency=3)


def unanswered(prometheus, questions):
    return [one for one in questions if not prometheus.query(one[1])]


async def test_every_panel_has_data_and_no_rule_fails(stack, manager, tmp_path):
    key = stack.new_key("e2e-panels")
    questions = sorted({question for board in boards() for question in asked(board)})
    for board in boards():
        questions += [(f"{board['uid']}: a variable", series) for series in choices(board)]
    assert len(questions) > 60
    with watching(tmp_path, stack.home / "prometheus-targets.json") as prometheus:
        deadline = time.monotonic() + SECONDS
        without = questions
        while without := unanswered(prometheus, without) or unanswered(prometheus, questions):
            assert time.monotonic() < deadline, f"no data within {SECONDS} s:\n" + "\n".join(map(" | ".join, without))
            await traffic(stack, key)
            await send(stack.url, key, "whole", TOXIC)
        rules = prometheus.rules()
        assert len(rules) >= 30
        assert [rule["name"] for rule in rules if rule["health"] != "ok"] == []
        firing = {rule["name"] for rule in rules if rule["type"] == "alerting" and rule["state"] == "firing"}
        assert firing.isdisjoint(
            {"WeirKafkaUnreachable", "WeirShipperAbsent", "WeirRecordsShed", "WeirVerdictsMissing"}
        )
    received = await asyncio.to_thread(manager.alerts, tenant="e2e-panels", alertname="WeirToxicity")
    assert received
    assert received[0]["annotations"]["runbook_url"].endswith("#toxicity")
    assert received[0]["annotations"]["trace"] == received[0]["generatorURL"]
