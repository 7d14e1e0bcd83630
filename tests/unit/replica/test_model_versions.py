"""Loading and closing of trained versions, with stub model servers."""

import asyncio
from types import MappingProxyType

import pytest

from serving.replica import model_versions
from serving.replica.model_versions import ModelVersions


class Server:
    """A model server; if `fails` is given, its load raises this error."""

    version = "base"
    idle = True

    def __init__(self, fails=None):
        self.fails = fails
        self.running = False
        self.closed = False

    async def load(self):
        if self.fails is not None:
            raise self.fails
        self.running = True

    async def close(self):
        self.running, self.closed = False, True

    def describe(self, versions):
        return versions


@pytest.fixture
def made(monkeypatch):
    """The list of created servers, in order."""
    monkeypatch.setattr(model_versions, "_CHECK_SECONDS", 0.001)
    return []


def versions_of(made, wanted, failures=MappingProxyType({})):
    def load(version):
        made.append(Server(failures.get(version)))
        return made[-1]

    return ModelVersions(Server(), load, lambda: frozenset(wanted))


@pytest.mark.parametrize("error", [RuntimeError("CUDA out of memory"), MemoryError(), TypeError("a library's fault")])
async def test_a_version_that_cannot_be_loaded_does_not_prevent_the_load_of_others(made, error, caplog):
    wanted = {"a"}
    versions = versions_of(made, wanted, {"a": error})
    following = asyncio.create_task(versions.follow())
    try:
        async with asyncio.timeout(10):
            while not made:  # noqa: ASYNC110 - no event is set
                await asyncio.sleep(0.001)
            wanted.add("b")
            while versions.describe() != {"b"}:
                assert not following.done()
                await asyncio.sleep(0.001)
    finally:
        following.cancel()
        await asyncio.gather(following, return_exceptions=True)
    assert f"version a cannot be loaded ({error!r})" in caplog.text


async def test_a_version_whose_engine_has_ended_is_loaded_again_after_its_last_answer(made):
    versions = versions_of(made, {"a"})
    await versions.update()
    (first,) = made
    first.running, first.idle = False, False
    await versions.update()
    assert made == [first]
    first.idle = True
    await versions.update()
    _, second = made
    assert (first.closed, second.running, versions.describe()) == (True, True, {"a"})


async def test_a_version_whose_engine_has_ended_and_that_no_route_names_is_closed(made):
    wanted = {"a"}
    versions = versions_of(made, wanted)
    await versions.update()
    wanted.clear()
    made[0].running = False
    await versions.update()
    assert (len(made), made[0].closed, versions.describe()) == (1, True, frozenset())


async def test_loading_a_version_is_retried_with_increasing_pauses(made, monkeypatch):
    """Each attempt to load a truncated file uses seconds of processor time."""
    clock = [1_000.0]
    monkeypatch.setattr(model_versions, "monotonic", lambda: clock[0])
    failures = {"a": RuntimeError("cut off")}
    versions = versions_of(made, {"a"}, failures)
    for attempts, pause in enumerate((10, 20, 40, 80, 120, 120), 1):
        await versions.update()
        assert len(made) == attempts
        clock[0] += pause - 1
        await versions.update()
        assert len(made) == attempts
        clock[0] += 1
    failures.clear()
    await versions.update()
    assert versions.describe() == {"a"}
