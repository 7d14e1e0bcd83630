import asyncio
from types import SimpleNamespace

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
