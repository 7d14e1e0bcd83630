"""Maps of embeddings from a real broker: a change is visible, and no text is read without a session and a log entry."""

import json
from collections import Counter

import httpx
import numpy as np
import pytest
import pytest_asyncio
from support.console_map import INPUT, TENANTS, send_shift
from support.console_server import running_console
from support.demo_log import embeddings
from support.kafka_log import sender
from support.signal_log import signal_event

from stream.wire import partition_for, stream_key
from weir.home.api_keys import create_key

pytestmark = [pytest.mark.kafka, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shifted(embedded_broker, tmp_path_factory):
    """Send prompts whose subject changes; return the console and the query for the map of the newest alert."""
    home = tmp_path_factory.mktemp("home")
    async with running_console(embedded_broker.bootstrap, home, tenants=TENANTS) as console:
        alert = (await send_shift(console.kafka))[-1]
        story = await console.until(
            "the alert", f"/api/alerts/{alert.alert_id}", lambda found: found["series"] and found["series"]["changed"]
        )
        changed = story["series"]["changed"]
        await console.until("requests", "/api/requests?limit=500", lambda found: len(found["requests"]) == 332)
        yield console, INPUT | {"since": changed["details"]["changed_at"], "until": changed["time"]}


async def mapped(console, query):
    return await console.get("/api/drift/map", **query)


def accesses(console):
    log = console.home / "logs" / "access.log"
    return [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []


async def test_a_new_subject_is_separate_on_the_map_and_its_cluster_grows(shifted):
    console, query = shifted
    found = await mapped(console, query)
    points = found["points"]
    recent = np.array(points["recent"])
    assert (found["missing"], found["reference"], found["recent"]) == ("", int((~recent).sum()), int(recent.sum()))
    assert found["reference"] > 20
    assert found["recent"] > 20
    at = np.column_stack([points["x"], points["y"]])
    apart = np.linalg.norm(at[recent].mean(axis=0) - at[~recent].mean(axis=0))
    assert apart > 3 * at[recent].std(axis=0).max()
    assert found["variance"][0] > found["variance"][1] > 0.05
    grown = max(found["clusters"], key=lambda one: one["after"] - one["before"])
    assert grown["after"] >= 0.5 > 3 * grown["before"]
    assert set(grown["near_recent"]) <= {name for name, late in zip(points["request_id"], recent, strict=True) if late}
    assert sum(one["before"] for one in found["clusters"]) == pytest.approx(1)
    assert all(
        query["since"] <= time < query["until"] for time, late in zip(points["time"], recent, strict=True) if late
    )
    assert found == await console.get("/api/drift/map", **query), "the same log must give the same map"


async def test_the_map_has_the_clusters_of_the_detector(shifted):
    console, query = shifted
    found = await mapped(console, query)
    assert found["detector_clusters"] is True
    series = await console.get("/api/drift/series", detector="drift", **query | {"since": 0})
    details = series["changed"]["details"]
    grown = found["clusters"][int(details["topic_since"])]
    assert (grown["before"], grown["after"]) == pytest.approx(
        (details["topic_since_share_before"], details["topic_since_share"])
    )


async def test_a_map_of_the_newest_requests_needs_no_alarm(shifted):
    console, query = shifted
    found = await mapped(console, INPUT | {"until": query["until"]})
    assert found["recent"] > 200


async def test_clusters_are_described_and_every_access_is_logged_first(shifted):
    console, query = shifted
    before = accesses(console)
    found = await mapped(console, query)
    assert accesses(console) == before
    answer = await console.client.post("/api/drift/map/clusters", json=query)
    described = {one["cluster"]: one for one in answer.json()["clusters"]}
    grown = max(found["clusters"], key=lambda one: one["after"] - one["before"])
    text = described[grown["cluster"]]
    assert {"sql", "query", "table"} <= {one["term"] for one in text["terms"]}
    assert [one["request_id"] for one in text["examples"]] == grown["near_recent"][:2]
    assert all("SQL" in one["text"] for one in text["examples"])
    logged = Counter((one["command"], one["request_id"]) for one in accesses(console)[len(before) :])
    read = {name for one in found["clusters"] for name in one["near_recent"] + one["near_reference"]}
    assert logged == {("console clusters", name): 1 for name in read}


async def test_without_the_permission_to_read_content_no_text_is_returned(shifted):
    console, query = shifted
    before = accesses(console)
    answer = await console.client.get("/api/drift/map", params=query)
    assert "SQL" not in answer.text
    _, key = create_key(console.home, INPUT["tenant"])
    for headers in ({}, {"authorization": f"Bearer {key}"}):
        async with httpx.AsyncClient(base_url=console.client.base_url, headers=headers) as other:
            refused = await other.post("/api/drift/map/clusters", json=query)
            assert (refused.status_code, "SQL" in refused.text) == (401, False)
            assert (await other.get("/api/drift/map", params=query)).status_code == 401
    assert accesses(console) == before


async def test_an_empty_ledger_is_the_reason_for_a_missing_map(embedded_broker, tmp_path):
    async with running_console(embedded_broker.bootstrap, tmp_path) as console:
        found = await console.get("/api/drift/map", **INPUT, until=1.0)
    assert found["missing"].startswith("The ledger has no request")


async def test_expired_or_too_few_signals_are_the_reason_for_a_missing_map(shifted):
    console, query = shifted
    early = await console.get("/api/drift/map", **query | {"since": query["since"] - 590})
    assert "of the" in early["missing"]
    assert "events of the reference" in early["missing"]
    late = await console.get("/api/drift/map", **query | {"since": query["until"] - 0.1})
    assert "a map needs 5" in late["missing"]
    nobody = await console.get("/api/drift/map", **query | {"side": "input/tool_result"})
    assert "has 0 of the" in nobody["missing"]
    assert nobody["points"] is None


async def test_an_unknown_or_invalid_field_is_an_error(shifted):
    console, _ = shifted
    for body in (INPUT, INPUT | {"until": 1e300}, INPUT | {"until": 1.0, "text": "x"}):
        assert (await console.client.post("/api/drift/map/clusters", json=body)).status_code == 400


async def test_the_newest_thousand_recent_requests_are_compared_without_duplicates(shifted):
    console, query = shifted
    make, until = embeddings(1), query["until"]
    more = [
        signal_event(f"more{number}", until + number / 100, tenant=INPUT["tenant"], embedding=make(number % 2))
        for number in range(2100)
    ]
    place = partition_for(stream_key(*INPUT.values()), 2)
    async with sender(console.kafka) as to:
        await to.send(console.kafka.names.signals, *more, *more[-50:], partition=place)
    found = await console.get("/api/drift/map", **query | {"until": until + 100})
    points = found["points"]
    late = [name for name, recent in zip(points["request_id"], points["recent"], strict=True) if recent]
    assert late == [f"more{number}" for number in range(1100, 2100)]
    assert found["recent"] == 1000
