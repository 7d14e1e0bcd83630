"""Builds the events of the watch stage: findings, the results of the fixed prompts, and watermarks."""

from collections import Counter
from collections.abc import Sequence
from statistics import median
from typing import NamedTuple

import msgspec

from detectors.base import Finding
from detectors.streams.sentinel import SENTINEL
from stream.stages.watch.buckets import Held
from stream.wire import Event, FindingRecord, SentinelRecord, Tick, canonical_time
from stream.wire.ids import bucket_finding_id

WATCH_SOURCE = "weir/watch"
#: ``feature`` of the finding that reports that a detector's state was lost and rebuilt.
RESET = "detector reset"
EVIDENCE = 20
PRINCIPALS = 32


class StreamBucket(NamedTuple):
    """One closed bucket of one stream, with its events sorted by (time, id)."""

    key: str
    number: int
    seconds: float
    held: Sequence[Held]

    @property
    def end(self) -> float:
        """The event time at which the bucket ends, which is the time of its findings."""
        return canonical_time((self.number + 1) * self.seconds)


def finding_event(bucket: StreamBucket, detector: str, version: str, finding: Finding) -> Event:
    """Return the event of a detector's finding in `bucket`; the id depends only on stream, detector and bucket."""
    evidence = strongest_evidence(bucket.held, finding.feature)
    record = msgspec.structs.replace(
        _blank(bucket, detector, version),
        alarm=finding.alarm,
        score=finding.score,
        statistic=finding.statistic,
        limit=finding.limit,
        feature=finding.feature,
        events=len(bucket.held),
        principals=principals(bucket.held),
        evidence=tuple(item.request_id for item in evidence),
        traces=tuple(item.traceparent for item in evidence if item.traceparent),
        details=finding.details,
    )
    return _event(bucket, bucket_finding_id(bucket.key, detector, bucket.number), record, evidence)


def reset_event(bucket: StreamBucket, detector: str, version: str) -> Event:
    """Return a finding without alarm, which reports that `detector` lost its state before `bucket`."""
    identity = bucket_finding_id(bucket.key, f"{detector}/reset", bucket.number)
    return _event(bucket, identity, _blank(bucket, detector, version), [])


def sentinel_note(event: Event) -> Event | None:
    """Return the sentinel record of a finding about fixed prompts; None for other findings, or if no answer arrived."""
    finding = event.data
    if not isinstance(finding, FindingRecord) or finding.detector != SENTINEL:
        return None
    if not finding.events or finding.feature == RESET:
        return None
    record = SentinelRecord(
        model=finding.model,
        at=finding.time,
        moved=finding.alarm,
        statistic=finding.statistic,
        limit=finding.limit,
    )
    return Event(
        id=f"{event.id}/note",
        source=WATCH_SOURCE,
        type=SentinelRecord.event_type,
        time=finding.time,
        data=record,
        causationid=event.id,
        partitionkey=event.partitionkey,
    )


def watermark_tick(partition: int, watermark: float) -> Event:
    """Return a tick with the watermark of signals partition `partition`, for the alert stage."""
    tick = Tick(stage="watch", partition=partition, watermark=watermark)
    identity = f"watch/{partition}/{watermark:.6f}"
    return Event(id=identity, source=WATCH_SOURCE, type=Tick.event_type, time=watermark, data=tick)


def _blank(bucket: StreamBucket, detector: str, version: str) -> FindingRecord:
    tenant, model, side, part, model_version, *_ = (*bucket.key.split("\x1f"), "", "")
    return FindingRecord(
        tenant=tenant,
        model=model,
        side=side,
        detector=detector,
        version=version,
        time=bucket.end,
        alarm=False,
        score=0.0,
        bucket=bucket.number,
        bucket_seconds=bucket.seconds,
        feature=RESET,
        events=0,
        part=part,
        model_version=model_version,
    )


def _event(bucket: StreamBucket, identity: str, record: FindingRecord, evidence: Sequence[Held]) -> Event:
    first = evidence[0] if evidence else None
    return Event(
        id=identity,
        source=WATCH_SOURCE,
        type=FindingRecord.event_type,
        time=bucket.end,
        data=record,
        subject=first.request_id if first else "",
        correlationid=first.request_id if first else "",
        causationid=first.cause if first else "",
        traceparent=first.traceparent if first else "",
        partitionkey=bucket.key,
    )


def strongest_evidence(held: Sequence[Held], feature: str) -> list[Held]:
    """Return at most 20 events, one per request: the events whose `feature` is furthest from its median.

    If no event has the feature, return the latest events.
    """
    latest = list(reversed(held))
    values = [item.observation.features[feature] for item in latest if feature in item.observation.features]
    if values:
        middle = median(values)
        measured = [item for item in latest if feature in item.observation.features]
        latest = sorted(measured, key=lambda item: -abs(item.observation.features[feature] - middle))
    by_request: dict[str, Held] = {}
    for item in latest:
        by_request.setdefault(item.request_id, item)
        if len(by_request) == EVIDENCE:
            break
    return list(by_request.values())


def principals(held: Sequence[Held]) -> dict[str, int]:
    """Return {principal: number of events} of the most frequent principals."""
    counts = Counter(item.observation.principal for item in held)
    return dict(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:PRINCIPALS])
