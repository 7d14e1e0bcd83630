"""One stream that the watch stage follows: its open buckets and its detectors."""

import logging
from collections.abc import Callable
from typing import Any

from detectors.base import StreamDetector
from detectors.errors import StateMismatch
from stream.stages.watch.buckets import Held, StreamBuckets
from stream.stages.watch.records import StreamBucket, finding_event, reset_event
from stream.stages.watch.state import StreamState
from stream.wire import Event

logger = logging.getLogger(__name__)


class WatchedStream:
    """A stream's buckets and detectors. Detectors in `lost` have no state; those in `announce` will report a reset."""

    def __init__(self, key: str, buckets: StreamBuckets, detectors: dict[str, StreamDetector[Any]]) -> None:
        self.key = key
        self.buckets = buckets
        self.detectors = detectors
        self.lost: set[str] = set()
        self.announce: set[str] = set()

    def restore(self, stored: StreamState) -> None:
        """Restore each detector from its snapshot; add detectors that reject their snapshot to :attr:`lost`.

        A detector without a snapshot is new, for example after an upgrade. It starts without a state and is not lost.
        """
        self.announce = self.detectors.keys() & stored.announce
        for name, detector in self.detectors.items():
            if name not in stored.snapshots:
                continue
            try:
                detector.restore(stored.snapshots[name])
            except StateMismatch as error:
                logger.warning(
                    "detector %s of a stream: %s; its state is rebuilt from the retained signals", name, error
                )
                self.lost.add(name)

    def run(self, number: int, held: list[Held], fresh: Callable[[str], StreamDetector[Any]]) -> list[Event]:
        """Update every detector with a closed bucket; return the findings."""
        bucket = StreamBucket(self.key, number, self.buckets.seconds, held)
        events = [reset_event(bucket, name, self.detectors[name].version) for name in sorted(self.announce)]
        self.announce.clear()
        for name, detector in sorted(self.detectors.items()):
            try:
                finding = detector.update_many([item.observation for item in held])
                read = [item for item in held if detector.reads(item.observation)]
            except Exception:  # the boundary to a detector: a failure resets it
                logger.exception("detector %s failed on bucket %d with %d events; reset", name, number, len(held))
                self.detectors[name] = fresh(name)
                events.append(reset_event(bucket, name, detector.version))
                continue
            if finding is not None:
                events.append(finding_event(bucket._replace(held=read), name, detector.version, finding))
        return events

    def state(self) -> StreamState:
        """Return the state to store after a bucket was closed."""
        assert self.buckets.last_closed is not None
        assert self.buckets.last_event is not None
        return StreamState(
            seconds=self.buckets.seconds,
            last_closed=self.buckets.last_closed,
            last_event=self.buckets.last_event,
            snapshots={name: detector.snapshot() for name, detector in self.detectors.items()},
            announce=sorted(self.announce),
            until=self.buckets.until,
        )
