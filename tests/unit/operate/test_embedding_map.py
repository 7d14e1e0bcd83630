"""The signals of a map, read in the order of the log."""

from types import SimpleNamespace

import msgspec
import pytest
from aiokafka.structs import TopicPartition
from support.demo_log import embeddings
from support.signal_log import MODEL, score_tick, signal_event

from detectors.streams.drift import DriftConfig
from stream.settings import KafkaSettings, TenantSettings
from stream.wire import encode
from weir.operate import embedding_map
from weir.operate.embedding_map import MapQuery, _computed, _signals, _Wanted

TOPIC = TopicPartition("weir.signals", 0)
START, OTHERS, OWN = 1_000_000.0, 160, 300
#: A second of the log: a signal of the stream, and then `OTHERS` of another tenant in the same partition.
SECONDS = [START + second for second in range(OWN)]
CHANGED, UNTIL = SECONDS[200], SECONDS[-1] + 0.5
CONFIG = msgspec.convert(TenantSettings().detector_options("drift"), DriftConfig, strict=False)


class Log:
    """A consumer of one partition with the stream's signals between the signals of another stream."""

    def __init__(self):
        make = embeddings(1)
        other = encode(signal_event("other", START, tenant="other", embedding=make(False)))
        own = [encode(signal_event(f"r{n}", time, embedding=make(False))) for n, time in enumerate(SECONDS)]
        self.records = [record for one in own for record in (one, *[other] * OTHERS)]
        self.offset = 0

    def assign(self, partitions):
        assert partitions == [TOPIC]

    def seek(self, partition, offset):
        self.offset = offset

    async def end_offsets(self, partitions):
        return {TOPIC: len(self.records)}

    async def offsets_for_times(self, wanted):
        offset = max(int(wanted[TOPIC] / 1000 - START + 0.999), 0) * (OTHERS + 1)
        return {TOPIC: SimpleNamespace(offset=offset) if offset < len(self.records) else None}

    async def getmany(self, *, max_records, **_):
        first, self.offset = self.offset, min(self.offset + max_records, len(self.records))
        return {TOPIC: [stored(self.records[offset], offset) for offset in range(first, self.offset)]}


def stored(record, offset=0, at=None):
    second = START + offset // (OTHERS + 1) if at is None else at
    return SimpleNamespace(
        key=record.key, value=record.value, headers=record.headers, offset=offset, timestamp=1000 * second
    )


@pytest.fixture
async def mapped(monkeypatch):
    """Return a function that returns the recent signals, and the map."""

    async def required_counts(_options, topics):
        return dict.fromkeys(topics, 1)

    async def mapped(since):
        query = MapQuery(tenant="acme", model=MODEL, side="input", since=since, until=UNTIL)
        earliest, recent = await _signals(Log(), KafkaSettings(), query, START, CONFIG)
        return recent.signals(), _computed(CONFIG, earliest, recent, {})

    monkeypatch.setattr(embedding_map, "required_counts", required_counts)
    return mapped


@pytest.mark.parametrize("since", [CHANGED, None])
async def test_a_map_finds_the_signals_of_a_stream_between_those_of_other_streams(mapped, since):
    recent, found = await mapped(since)
    assert found.missing == ""
    assert recent[-1].request_id == f"r{OWN - 1}"


async def test_of_the_records_since_the_change_the_newest_are_read(mapped, monkeypatch):
    monkeypatch.setattr(embedding_map, "_SCANNED", 50 * (OTHERS + 1))
    recent, found = await mapped(CHANGED)
    assert [signal.request_id for signal in recent] == [f"r{n}" for n in range(OWN - 50, OWN)]
    assert "records were searched" in found.missing, "the reference is larger than the 50 signals that were read"


@pytest.mark.parametrize(("stored_at", "done"), [(300.0, True), (100.0, False)], ids=["past the end", "fast clock"])
@pytest.mark.parametrize("event", [signal_event("r1", 300.0, tenant="other"), score_tick(0, {"s": 300.0})])
def test_an_event_past_the_end_ends_the_reading_unless_its_clock_is_fast(stored_at, done, event):
    wanted = _Wanted("acme", 0.0, 110.0)
    wanted.add(stored(encode(event), at=stored_at))
    assert wanted.done == done
