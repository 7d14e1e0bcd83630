"""The signals of a map, read in the order of the log."""

import pytest
from support.signal_log import signal_event

from weir.operate.embedding_map import MapQuery, _Wanted


@pytest.mark.parametrize(("stored_at", "done"), [(300.0, True), (100.0, False)], ids=["past the end", "fast clock"])
def test_a_signal_past_the_end_ends_the_reading_unless_its_clock_is_fast(stored_at, done):
    wanted = _Wanted(MapQuery(tenant="acme", model="m", side="input", until=110.0), 0.0, 110.0)
    wanted.add(signal_event("r1", 300.0).data, stored_at)
    assert wanted.done == done
