"""What the watch stage keeps in its table: one value a stream, one for the sources of a partition, and one for silences."""

from typing import TypeVar

import msgspec

from stream.errors import StateUnreadable
from stream.stages.watch.watermark import SourceLane

__all__ = [
    "LivenessLane",
    "LivenessState",
    "SourcesState",
    "StreamState",
    "decode_liveness",
    "decode_sources",
    "decode_stream",
    "encode",
    "order",
    "liveness_key",
    "sources_key",
]

_VERSION = 1


class StreamState(msgspec.Struct, frozen=True, kw_only=True):
    """The state of one stream after its last closed bucket.

    Parameters
    ----------
    seconds
        Width of the buckets that the numbers count.
    last_closed, last_event
        The last closed bucket, and the last one with events.
    snapshots
        The stream detectors' states, by name.
    """

    version: int = _VERSION
    seconds: float
    last_closed: int
    last_event: int
    snapshots: dict[str, bytes] = {}

    def resized(self, seconds: float) -> "StreamState":
        """Return the state with its numbers counted in buckets of `seconds`, as far as whole buckets were closed."""
        if seconds == self.seconds:
            return self
        last = int((self.last_closed + 1) * self.seconds // seconds) - 1
        return msgspec.structs.replace(self, seconds=seconds, last_closed=last, last_event=last)


class SourcesState(msgspec.Struct, frozen=True, kw_only=True):
    """What a partition has heard of its sources, after the tick at `offset` and all that it closed.

    Parameters
    ----------
    sources
        The live ones.
    lanes, value
        By inference partition, and the watermark that follows; none in a row of an earlier Weir.
    """

    version: int = _VERSION
    sources: tuple[str, ...] = ()
    offset: int = -1
    lanes: list[SourceLane] = []
    value: float | None = None


class LivenessLane(msgspec.Struct, kw_only=True):
    """What one inference partition says of silence.

    Parameters
    ----------
    sources
        Its sources.
    first, reached
        The bucket that its log time was first in, and the one that it is in now; None before there is one.
    silent
        By bucket that ended here and not yet everywhere: the silent sources, with the newest time that each told here.
    """

    sources: SourceLane
    first: int | None = None
    reached: int | None = None
    silent: dict[int, dict[str, float]] = {}


class LivenessState(msgspec.Struct, kw_only=True):
    """Who is silent, after the tick at `offset` of the signals partition that this is kept on.

    Parameters
    ----------
    seconds
        Width of the buckets that the numbers count.
    lanes
        By inference partition.
    edge
        The first bucket that has not ended everywhere; None before every partition was heard.
    last
        By source that is or was silent: the last bucket in which it was.
    """

    version: int = _VERSION
    seconds: float
    offset: int = -1
    lanes: list[LivenessLane]
    edge: int | None = None
    last: dict[str, int] = {}


_StateT = TypeVar("_StateT", StreamState, SourcesState, LivenessState)
_STREAM = msgspec.msgpack.Decoder(StreamState)
_SOURCES = msgspec.msgpack.Decoder(SourcesState)
_SILENCE = msgspec.msgpack.Decoder(LivenessState)


def sources_key(partition: int) -> str:
    """Return the table key of the sources heard on signals partition `partition`; no stream key begins with NUL."""
    return f"\0sources/{partition}"


def liveness_key(partition: int) -> str:
    """Return the table key of the silences kept on signals partition `partition`."""
    return f"\0silence/{partition}"


def encode(state: StreamState | SourcesState | LivenessState) -> bytes:
    """Return `state` as msgpack."""
    return msgspec.msgpack.encode(state)


def decode_stream(value: bytes) -> StreamState:
    """Read a stream's value; raises StateUnreadable."""
    return _decoded(_STREAM, value)


def decode_sources(value: bytes) -> SourcesState:
    """Read a partition's sources; raises StateUnreadable."""
    return _decoded(_SOURCES, value)


def decode_liveness(value: bytes) -> LivenessState:
    """Read the silences; raises StateUnreadable."""
    return _decoded(_SILENCE, value)


class _Order(msgspec.Struct, kw_only=True):
    """As much of a state as says how far it has come."""

    seconds: float = 0.0
    last_closed: int = 0
    offset: int = -1


_ORDER = msgspec.msgpack.Decoder(_Order)
_OWN_PREFIX = b"\0"


def order(key: bytes, value: bytes) -> float:
    """Return how far a row's state has come: log time of a stream, offset of the others; raises StateUnreadable."""
    try:
        state = _ORDER.decode(value)
    except msgspec.MsgspecError as error:
        raise StateUnreadable(f"a state of {len(value)} bytes cannot be read") from error
    return state.offset if key.startswith(_OWN_PREFIX) else (state.last_closed + 1) * state.seconds


def _decoded(decoder: "msgspec.msgpack.Decoder[_StateT]", value: bytes) -> _StateT:
    try:
        state = decoder.decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise StateUnreadable(f"a state of {len(value)} bytes cannot be read; it is rebuilt from the log") from error
    if state.version != _VERSION:
        raise StateUnreadable(f"a state of version {state.version}, this is {_VERSION}; it is rebuilt from the log")
    return state
