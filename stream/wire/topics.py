"""Weir's topics: names, partition counts, retention."""

import msgspec

_DAY_MS = 24 * 60 * 60 * 1000
_MIB = 1024 * 1024
_REPLAY_BYTES = 64 * _MIB

#: Kafka deletes whole segments, and begins a new one only after its default of 7 days or 1 GiB. With eight segments in a retention, a record is
#: kept for an eighth longer than the retention.
_SEGMENTS = 8
_MIN_SEGMENT_MS = 60_000
_MAX_SEGMENT_MS = 7 * _DAY_MS
_MAX_SEGMENT_BYTES = 1024 * _MIB

#: With three replicas, two of them in sync, the loss of one broker loses no record.
_COPIES = 3


class TopicNames(msgspec.Struct, frozen=True):
    """The topic names, all with one prefix."""

    prefix: str

    @property
    def inference(self) -> str:
        """Requests, responses, corrections, gaps and ticks; apart from dead letters, the only topic with text."""
        return f"{self.prefix}inference"

    @property
    def verdicts(self) -> str:
        """One verdict for each event and expected detector."""
        return f"{self.prefix}verdicts"

    @property
    def signals(self) -> str:
        """Numeric features for the stream detectors."""
        return f"{self.prefix}signals"

    @property
    def findings(self) -> str:
        """Findings of detectors about one event or about one closed bucket."""
        return f"{self.prefix}findings"

    @property
    def alerts(self) -> str:
        """Alerts and operators' silences, compacted by alert id or silence id."""
        return f"{self.prefix}alerts"

    @property
    def retraining(self) -> str:
        """Retraining events."""
        return f"{self.prefix}retraining"

    @property
    def models(self) -> str:
        """Model versions and routes, compacted by version and by (tenant, model)."""
        return f"{self.prefix}models"

    @property
    def feedback(self) -> str:
        """Feedback of users and reviewers, and delayed labels."""
        return f"{self.prefix}feedback"

    @property
    def dead_letters(self) -> str:
        """Records that a stage could not read or process."""
        return f"{self.prefix}inference.dlq"

    @property
    def replay(self) -> str:
        """Findings and alerts of replays, which no stage reads."""
        return f"{self.prefix}replay"


#: Kafka's own clock dates the records: it rejects a record that its producer dates more than an hour ahead, and
#: deletes one early that is dated behind.
TIMESTAMP_TYPE = "LogAppendTime"
#: Kafka does not compact the newest segment of a topic, and `watch` reads it when it starts; by default it has up to 1 GiB.
CHANGELOG_CONFIG = {"message.timestamp.type": TIMESTAMP_TYPE, "segment.bytes": str(64 * _MIB)}


class Topic(msgspec.Struct, frozen=True, kw_only=True):
    """The settings with which a topic is created."""

    name: str
    partitions: int
    cleanup_policy: str = "delete"
    retention_ms: int = -1
    retention_bytes: int = -1
    max_message_bytes: int = 1024 * _MIB // 1024 + 64 * 1024
    timestamp_type: str = TIMESTAMP_TYPE

    def config(self) -> dict[str, str]:
        """Return Kafka's topic configuration."""
        return {
            "cleanup.policy": self.cleanup_policy,
            "retention.ms": str(self.retention_ms),
            "retention.bytes": str(self.retention_bytes),
            **self._segments(),
            "max.message.bytes": str(self.max_message_bytes),
            "message.timestamp.type": self.timestamp_type,
        }

    def _segments(self) -> dict[str, str]:
        """Return the limits of a segment; none without a retention, and none for a compacted topic, to which retention does not apply."""
        if self.cleanup_policy != "delete":
            return {}
        limits = {}
        if self.retention_ms > 0:
            limits["segment.ms"] = min(max(self.retention_ms // _SEGMENTS, _MIN_SEGMENT_MS), _MAX_SEGMENT_MS)
        if self.retention_bytes > 0:
            # A segment must have room for the largest batch, which Kafka would reject otherwise.
            least = self.max_message_bytes
            limits["segment.bytes"] = min(max(self.retention_bytes // _SEGMENTS, least), _MAX_SEGMENT_BYTES)
        return {name: str(limit) for name, limit in limits.items()}


def topic_specs(
    names: TopicNames,
    *,
    inference_partitions: int,
    stream_partitions: int,
    retention_ms: int,
    retention_bytes: int,
) -> list[Topic]:
    """Return every topic of Weir, in the order in which events pass through the topics.

    Inference, verdicts and feedback have `inference_partitions`; signals, findings, alerts, retraining and
    models have `stream_partitions`. Retention limits each partition. Alerts and models are compacted instead; replays are kept for at most a
    day and 64 MiB, because a replay can run again.
    """

    def topic(name: str, partitions: int, policy: str = "delete") -> Topic:
        return Topic(
            name=name,
            partitions=partitions,
            cleanup_policy=policy,
            retention_ms=retention_ms,
            retention_bytes=retention_bytes,
        )

    return [
        topic(names.inference, inference_partitions),
        topic(names.verdicts, inference_partitions),
        topic(names.signals, stream_partitions),
        topic(names.findings, stream_partitions),
        topic(names.alerts, stream_partitions, "compact"),
        topic(names.retraining, stream_partitions),
        topic(names.models, stream_partitions, "compact"),
        topic(names.feedback, inference_partitions),
        topic(names.dead_letters, 1),
        Topic(
            name=names.replay,
            partitions=1,
            retention_ms=min(retention_ms, _DAY_MS),
            retention_bytes=min(retention_bytes, _REPLAY_BYTES),
        ),
    ]


def copies(brokers: int) -> int:
    """Return the replication factor for a cluster of `brokers` brokers: three, or `brokers` if there are fewer."""
    return max(1, min(_COPIES, brokers))
