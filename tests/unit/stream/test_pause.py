import asyncio

import pytest

from stream.pause import BackOff, pause


@pytest.mark.parametrize("factor", [0.5, 1.0])
def test_pauses_double_up_to_the_longest_and_begin_again_after_a_reset(monkeypatch, factor):
    monkeypatch.setattr("random.uniform", lambda low, high: {0.5: low, 1.0: high}[factor])
    back_off = BackOff(1.0, 5.0)
    assert [back_off.seconds() for _ in range(5)] == [factor * seconds for seconds in (1, 2, 4, 5, 5)]
    back_off.reset()
    assert back_off.seconds() == factor


async def test_a_pause_ends_after_its_time_or_at_the_stop():
    stop = asyncio.Event()
    await pause(stop, 0.001)
    waiting = asyncio.create_task(pause(stop, 1e6))
    await asyncio.wait([waiting], timeout=0.01)
    assert not waiting.done()
    stop.set()
    await waiting
