"""The health of `serve` while its endpoint is not ready, by the gateway's answers to ``/readyz``."""

import asyncio
from types import SimpleNamespace

import httpx
import pytest

from serving import driver

READY = (200, {"status": "ready"})
FULL = (503, {"status": "unready", "reasons": {"spool": "full or not writable"}})
NO_MODEL = (503, {"status": "unready", "reasons": {"model": "m: no replica answers (starting)"}})
BOTH = (503, {"status": "unready", "reasons": {**NO_MODEL[1]["reasons"], **FULL[1]["reasons"]}})


@pytest.fixture
def watched(monkeypatch):
    """Return a function that watches an endpoint with `answers`, and returns the keys of the health after each."""

    async def watch(*answers):
        stop, health, seen = asyncio.Event(), {}, []
        left = list(answers)

        def answer(_request):
            status, body = left.pop(0)
            return httpx.Response(status, json=body) if isinstance(body, dict) else httpx.Response(status, html=body)

        async def pause(_stop, _seconds):
            seen.append(sorted(health))
            if not left:
                stop.set()

        client = httpx.AsyncClient(transport=httpx.MockTransport(answer))
        monkeypatch.setattr(driver.httpx, "AsyncClient", lambda **_options: client)
        monkeypatch.setattr(driver, "pause", pause)
        await driver._watch(SimpleNamespace(host="127.0.0.1", port=1), stop, health)
        return seen

    return watch


@pytest.mark.parametrize(
    ("answer", "key"),
    [
        (FULL, "waiting for room in the spool"),
        (NO_MODEL, "serving"),
        (BOTH, "serving"),
        ((503, "<html>503 Service Unavailable</html>"), "serving"),
        ((503, {"status": "unready", "reasons": {}}), "serving"),
        ((500, {"error": "a"}), "serving"),
    ],
)
async def test_only_a_full_spool_is_a_reason_to_wait(watched, answer, key):
    assert await watched(answer) == [[key]]


async def test_a_reason_is_removed_when_it_no_longer_applies(watched):
    keys = await watched(FULL, BOTH, FULL, READY, NO_MODEL, READY)
    assert keys == [
        ["waiting for room in the spool"],
        ["serving"],
        ["waiting for room in the spool"],
        [],
        ["serving"],
        [],
    ]
