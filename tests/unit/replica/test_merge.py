"""The chunks of several answers as one stream."""

import asyncio
from contextlib import aclosing

import pytest

from serving.replica.merge import merged


async def answer(*texts, fails=False):
    for _ in range(3 * fails):  # later than the end of the other source
        await asyncio.sleep(0)
    for text in texts:
        yield text
    if fails:
        raise ValueError("a step failed")


async def test_the_items_before_an_error_are_yielded_also_if_another_source_ended_first():
    read = []

    async def read_slowly(items):
        async for item in items:
            read.append(item)
            for _ in range(9):  # both sources end meanwhile
                await asyncio.sleep(0)

    async with aclosing(merged([answer("a"), answer("b", "c", fails=True)])) as items:
        with pytest.raises(ValueError, match="a step failed"):
            await read_slowly(items)
    assert sorted(read) == [(0, "a"), (1, "b"), (1, "c")]


async def test_closing_it_closes_all_sources():
    closed = []

    async def endless(name):
        try:
            while True:
                yield name
                await asyncio.sleep(0)
        finally:
            closed.append(name)

    async with aclosing(merged([endless("a"), endless("b")])) as items:
        assert {await anext(items), await anext(items)} == {(0, "a"), (1, "b")}
    assert sorted(closed) == ["a", "b"]
