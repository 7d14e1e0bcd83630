import itertools

from support.signal_log import signal_event

from stream.stages.watch.bucket_schedule import OpenCounts
from stream.stages.watch.buckets import Offer, StreamBuckets
from stream.stages.watch.state import StreamState


def offer(buckets, request_id, time, watermark=None, token=None):
    event = signal_event(request_id, time, features={"x": time})
    return buckets.offer(event, event.data, token or request_id, watermark)


def closed(buckets, watermark):
    return [(number, [item.request_id for item in held]) for number, held in buckets.due(watermark)]


def test_a_bucket_closes_when_the_watermark_reaches_its_end_sorted_and_without_duplicates():
    counts = OpenCounts()
    buckets = StreamBuckets(5, 3, counts=counts)
    for request_id, time in (("b", 3.0), ("c", 3.0), ("a", 4.5), ("b", 3.0), ("d", 5.0)):
        assert offer(buckets, request_id, time) is Offer.HELD
    assert (counts.tokens, counts.buckets) == (5, 2)
    assert closed(buckets, 4.999) == []
    assert closed(buckets, 5.0) == [(0, ["b", "c", "a"])]
    assert (counts.tokens, counts.buckets) == (1, 1)


def test_of_several_ends_of_an_event_a_complete_end_and_then_the_earliest_is_used_in_any_order():
    ends = [("aborted", 1.0), ("complete", 3.0), ("complete", 2.0)]
    for order in itertools.permutations(ends):
        buckets = StreamBuckets(5, 3)
        for status, time in order:
            event = signal_event("a", time, side="output", status=status, features={"x": time})
            assert buckets.offer(event, event.data, time, None) is Offer.HELD
        ((_, (held,)),) = buckets.due(5.0)
        assert (held.observation.time, held.aborted) == (2.0, False), order
        assert sorted(held.tokens) == [1.0, 2.0, 3.0]


def test_an_event_behind_the_watermark_is_late_and_an_event_in_a_closed_bucket_is_a_duplicate():
    buckets = StreamBuckets(5, 3, last_closed=10, last_event=10)
    assert offer(buckets, "a", 54.9) is Offer.REPEATED
    assert offer(buckets, "b", 55.0) is Offer.HELD
    assert offer(buckets, "c", 57.0, watermark=60.0) is Offer.LATE
    assert offer(buckets, "d", 60.0, watermark=60.0) is Offer.HELD


def test_empty_buckets_close_up_to_the_limit_then_the_stream_is_idle():
    buckets = StreamBuckets(5, 3)
    offer(buckets, "a", 1.0)
    assert not buckets.idle
    assert closed(buckets, 12.0) == [(0, ["a"]), (1, [])]
    assert not buckets.idle
    assert closed(buckets, 1000.0) == [(2, []), (3, [])]
    assert buckets.idle
    assert closed(buckets, 2000.0) == []
    offer(buckets, "b", 2001.0, watermark=2000.0)
    assert closed(buckets, 2005.0) == [(400, ["b"])]


def test_after_a_change_of_the_bucket_width_only_fully_closed_buckets_count_as_closed():
    state = StreamState(seconds=5.0, last_closed=11, last_event=11)
    assert state.resized(30.0).last_closed == 1
    assert state.resized(2.0).last_closed == 29
    assert state.resized(7.0).last_closed == 7, "the next bucket ends at 63 s, and events are closed only up to 60 s"
