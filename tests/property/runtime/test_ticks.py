"""A tick is forwarded only after all earlier events are finished, in whatever order they finish."""

from types import SimpleNamespace

from hypothesis import given
from hypothesis import strategies as st
from support.events import closed, tick

from stream.stages.score.ticks import TickLine, merge_ticks

STEPS = st.lists(st.sampled_from(["event", "tick", "settle", "take"]), max_size=60)


@given(steps=STEPS, data=st.data())
def test_a_tick_waits_for_earlier_open_events_and_no_tick_is_lost(steps, data):
    line, unfinished, waiting, sent = TickLine(0, 1), [], [], []
    for offset, step in enumerate(steps):
        if step == "event":
            line.open(offset)
            unfinished.append(offset)
        elif step == "tick":
            line.tick(offset, tick(float(offset)), offset)
            waiting.append(offset)
        elif step == "settle" and unfinished:
            done = data.draw(st.sampled_from(unfinished))
            unfinished.remove(done)
            line.acknowledged(done)
        elif step == "take":
            free = [at for at in waiting if not unfinished or at < min(unfinished)]
            assert line.ready == bool(free)
            if line.ready:
                taken = line.take().tokens
                assert taken == free
                sent += taken
                waiting = [at for at in waiting if at not in taken]
    for offset in unfinished:
        line.acknowledged(offset)
    if line.ready:
        sent += line.take().tokens
    assert sent == [offset for offset, step in enumerate(steps) if step == "tick"]


def test_merging_keeps_the_newest_time_of_each_source_and_the_closed_sources():
    merged = merge_ticks(3, 17, [tick(5.0), tick(4.0, "b"), closed(6.0), tick(5.5, "b")], "weir/score", 7.0)
    assert merged.data.sources == {"s1": 6.0, "b": 5.5}
    assert merged.data.closed == ("s1",)
    assert (merged.data.stage, merged.data.partition, merged.id) == ("score", 3, "score/3/17")
    assert merged.data.logged == 7.0
    assert merge_ticks(3, 17, [tick(5.0)], "weir/score", -0.001).data.logged is None, "the record has no timestamp"


def test_a_new_assignment_discards_the_open_events():
    from stream.stages.score.ticks import TickForwarder  # noqa: PLC0415 - this test needs no event loop

    forwarder = TickForwarder(lambda _: None)
    old = SimpleNamespace(partition=0, offset=5, generation_id=1)
    forwarder.opened(old)
    new = SimpleNamespace(partition=0, offset=5, generation_id=2)
    forwarder.tick(new, tick(1.0), "token")
    forwarder.acknowledged(old)
    assert forwarder._lines[0].take().tokens == ["token"]
