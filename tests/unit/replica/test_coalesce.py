import asyncio

import pytest

from serving.engine.protocol import Chunk, joined
from serving.replica.coalesce import coalesced


async def test_the_first_chunk_is_yielded_immediately_and_the_others_are_joined():
    async def chunks():
        for word in "abcdefgh":
            yield Chunk(text=word, completion_tokens=1)
            await asyncio.sleep(0)
        yield Chunk(text="!", finish_reason="stop", completion_tokens=9)

    pieces = [piece async for piece in coalesced(chunks(), 60, joined)]
    assert pieces[0].text == "a"
    assert "".join(piece.text for piece in pieces) == "abcdefgh!"
    assert len(pieces) == 2
    assert pieces[-1].finish_reason == "stop"
    assert pieces[-1].completion_tokens == 9


async def test_an_error_is_raised_after_the_chunks_before_it():
    async def chunks():
        yield Chunk(text="a")
        raise ValueError("step")

    pieces = coalesced(chunks(), 60, joined)
    assert (await anext(pieces)).text == "a"
    with pytest.raises(ValueError, match="step"):
        await anext(pieces)


async def test_closing_the_iterator_closes_that_of_the_engine():
    closed = asyncio.Event()

    async def chunks():
        try:
            yield Chunk(text="a")
            await asyncio.Event().wait()
        finally:
            closed.set()

    pieces = coalesced(chunks(), 60, joined)
    assert (await anext(pieces)).text == "a"
    await pieces.aclose()
    assert closed.is_set()
