"""The configuration of Weir's topics."""

import pytest

from stream.settings import KafkaSettings
from stream.wire.topics import Topic

_HOUR_MS = 3_600_000
_MIB = 1024 * 1024


@pytest.mark.parametrize(
    ("hours", "retained", "segment_ms", "segment_bytes"),
    [
        (24, 1024 * _MIB, 3 * _HOUR_MS, 128 * _MIB),
        (0.01, _MIB, 60_000, 1_114_112),  # Kafka checks once a minute; a segment has room for the largest record
        (1e6, 1024**4, 168 * _HOUR_MS, 1024 * _MIB),  # Kafka's defaults
    ],
)
def test_a_segment_is_an_eighth_of_the_retention(hours, retained, segment_ms, segment_bytes):
    """Kafka deletes whole segments, so a longer one keeps its first prompt beyond the retention."""
    kafka = KafkaSettings(retention_hours=hours, retention_bytes=retained)
    (config,) = (topic.config() for topic in kafka.topics() if topic.name == kafka.names.inference)
    assert (config["segment.ms"], config["segment.bytes"]) == (str(segment_ms), str(segment_bytes))


@pytest.mark.parametrize(
    "topic", [{}, {"cleanup_policy": "compact", "retention_ms": _HOUR_MS, "retention_bytes": _MIB}]
)
def test_a_topic_without_retention_has_the_segments_of_kafka(topic):
    assert not {"segment.ms", "segment.bytes"} & Topic(name="t", partitions=1, **topic).config().keys()
