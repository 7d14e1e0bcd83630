import asyncio
from types import SimpleNamespace

from support.intake import litellm_payload

from serving.intake import server

WAITS = ["waiting for room in the spool"]  # the watcher does not restart a process whose keys begin with "waiting"


async def test_a_full_spool_is_a_reason_to_wait_until_it_has_room(monkeypatch):
    writable, stop, health, seen = [False, False, True, False], asyncio.Event(), {}, []

    async def pause(_stop, _seconds):
        seen.append(list(health))
        if not writable:
            stop.set()

    monkeypatch.setattr(server, "pause", pause)
    await server._watch(SimpleNamespace(writable=lambda: writable.pop(0)), stop, health)
    assert seen == [WAITS, WAITS, [], WAITS]


async def test_the_log_of_an_internal_error_has_its_location_and_not_its_message(running, caplog):
    """The response refers to this log; a message can contain text of the request."""

    async def broken(exchange):
        raise ZeroDivisionError(str(exchange))

    running.pairer.add = broken
    answer = await running.sent("/intake/litellm", json=litellm_payload())
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal_error")
    assert "ZeroDivisionError" in caplog.text
    assert "in broken" in caplog.text
    assert str(litellm_payload()["messages"][0]["content"]) not in answer.text + caplog.text
