"""The watch stage's table: one value per stream, one per partition for its sources, and one for source liveness."""

import msgspec

from stream.stages.shared.state_codec import decoder
from stream.stages.watch.watermark import SourceLane

_VERSION = 1


class StreamState(msgspec.Struct, frozen=True, kw_only=True):
    """A stream's last closed bucket, its last bucket with events (both of width `seconds`), and detector snapshots.

    `until` is the event time up to which buckets of a former width were closed, or 0. It can be inside the bucket after `last_closed`; events
    before it are ignored. The detectors in `announce` were rebuilt, and report a reset with the next bucket.
    """

    version: int = _VERSION
    seconds: float
    last_closed: int
    last_event: int
    snapshots: dict[str, bytes] = {}
    announce: list[str] = []
    until: float = 0.0

    def resized(self, seconds: float) -> "StreamState":
        """Return the state with its bucket numbers converted to width `seconds`.

        A bucket of the new width counts as closed only if the old closed buckets cover all of it.
        """
        if seconds == self.seconds:
            return self
        until = max(self.until, (self.last_closed + 1) * self.seconds)
        last = int(until // seconds) - 1
        return msgspec.structs.replace(self, seconds=seconds, last_closed=last, last_event=last, until=until)


class SourcesState(msgspec.Struct, frozen=True, kw_only=True):
    """The sources of a signals partition per inference partition, and its watermark `value`, after the tick at `offset`."""

    version: int = _VERSION
    offset: int = -1
    lanes: list[SourceLane] = []
    value: float | None = None


class LivenessLane(msgspec.Struct, kw_only=True):
    """The liveness of the sources on one inference partition.

    `first` and `reached` are the partition's first and present bucket, or None while it has no event time. `silent` is {bucket: {inactive source:
    its newest time on this partition}}, for the buckets that have ended on this partition but not on every partition. In a stored state, `silent` is
    empty, and `runs` has (first bucket, last bucket, sources) for consecutive buckets with the same sources: a partition can be hours behind the others.
    """

    sources: SourceLane
    first: int | None = None
    reached: int | None = None
    silent: dict[int, dict[str, float]] = {}
    runs: list[tuple[int, int, dict[str, float]]] = []


class LivenessState(msgspec.Struct, kw_only=True):
    """The liveness of all sources, after the tick at `offset` of its signals partition.

    Buckets have the width `seconds`. `edge` is the first bucket that has not ended on every partition, or None until every partition has a tick. `last`
    is {source: its last inactive bucket}, and `told` is {source: its newest time in this bucket}.
    """

    version: int = _VERSION
    seconds: float
    offset: int = -1
    lanes: list[LivenessLane]
    edge: int | None = None
    last: dict[str, int] = {}
    told: dict[str, float] = {}


decode_stream = decoder(StreamState)
decode_sources = decoder(SourcesState)
decode_liveness = decoder(LivenessState)


def sources_key(partition: int) -> str:
    """Return the table key of the sources of signals partition `partition`; no stream key begins with NUL."""
    return f"\0sources/{partition}"


def liveness_key(partition: int) -> str:
    """Return the table key of source liveness on signals partition `partition`."""
    return f"\0silence/{partition}"


class _Order(msgspec.Struct, kw_only=True):
    seconds: float = 0.0
    last_closed: int = 0
    until: float = 0.0
    offset: int = -1


_order = decoder(_Order)
_OWN_PREFIX = b"\0"


def order(key: bytes, value: bytes) -> float:
    """Return the position in the log up to which `value` is computed.

    The position is an event time for the value of a stream, and an offset for other values.
    """
    state = _order(value)
    return state.offset if key.startswith(_OWN_PREFIX) else max((state.last_closed + 1) * state.seconds, state.until)
