"""The format of a spool: append-only segments of records in frames with a CRC.

A segment is a file ``<index, 12 digits>.seg`` that contains only frames::

    offset  size  field
    0       2     magic, d7 57
    2       4     CRC-32 of everything after it in the frame
    6       1     kind (:class:`Kind`)
    7       4     length of the payload
    11      8     number of requests and ends of the source up to this frame, inclusive
    19      8     time, microseconds since the epoch, monotonic within a source
    27      n     payload, msgpack

Integers are little endian. The first frame is a HEAD, whose payload is a :class:`Head`: the state before the segment, so that the
segment can be read without earlier segments. All other payloads are ``(key, value, headers)`` of a Kafka record; the key is the
partition key. Each frame is written by one ``write()``. The CRC of an incomplete or damaged frame is wrong; reading continues at the next
valid frame, whose number shows how many requests and ends are missing.
"""

import enum
import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from stream.wire import GapRecord, Record

MAGIC = b"\xd7W"
SUFFIX = ".seg"
HEADER_BYTES = 27
#: Size limit of one :class:`OpenRequest`, which every HEAD contains until the request ends.
MAX_OPEN_BYTES = 4096

_PREFIX = struct.Struct("<2sI")
_BODY = struct.Struct("<BIQq")
_HEADER = struct.Struct("<2sIBIQq")
_ENCODER = msgspec.msgpack.Encoder()
_RECORD = msgspec.msgpack.Decoder(Record)
_GAP = msgspec.json.Decoder(GapRecord)
_CHUNK_BYTES = 4 * 1024 * 1024
_GROWTH = 8


class Kind(enum.IntEnum):
    """Type of a frame."""

    HEAD = 1
    REQUEST = 2
    END = 3
    FEEDBACK = 4
    GAP = 5
    TICK = 6
    CLOSED = 7
    CORRECTION = 8


class Frame(msgspec.Struct, frozen=True, gc=False):
    """One frame; `end` is the offset in the segment of the first byte after the frame; the module describes the other fields."""

    kind: int
    number: int
    time: int
    payload: bytes
    end: int


class OpenRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The data of a request, without text, that an ``aborted`` end needs; at most :data:`MAX_OPEN_BYTES`."""

    request_id: str
    tenant: str
    model: str
    model_version: str = ""
    principal: str = ""
    conversation_id: str = ""
    operation: str = "chat"
    stream: bool = False
    traceparent: str = ""
    tracestate: str = ""
    shadow_of: str = ""

    @property
    def size_bytes(self) -> int:
        """Encoded size in a HEAD frame."""
        return len(_ENCODER.encode(self))


class Head(msgspec.Struct, frozen=True, kw_only=True):
    """The first frame of a segment: the state of the source before the segment.

    `shed` is the number of earlier records that gap records count, and `open` are the requests without an end.
    """

    source: str
    shed: int = 0
    open: tuple[OpenRequest, ...] = ()


def encode_frame(kind: Kind, number: int, time: int, content: Record | Head) -> bytes:
    """Return the bytes of one frame; `time` is in microseconds."""
    payload = _ENCODER.encode(content)
    body = _BODY.pack(kind, len(payload), number, time)
    return b"".join((_PREFIX.pack(MAGIC, zlib.crc32(payload, zlib.crc32(body))), body, payload))


def record_of(frame: Frame) -> Record:
    """Return the Kafka record in `frame`."""
    return _RECORD.decode(frame.payload)


def head_of(frame: Frame) -> Head:
    """Return the :class:`Head` in `frame`."""
    return msgspec.msgpack.decode(frame.payload, type=Head)


def gap_of(frame: Frame) -> GapRecord:
    """Return the gap record in a GAP frame."""
    return _GAP.decode(record_of(frame).value)


def parse(data: bytes, base: int = 0) -> list[Frame]:
    """Return the valid frames at the start of `data`, up to damage or an incomplete frame; `base` is the offset of ``data[0]`` in the segment."""
    frames: list[Frame] = []
    position, size = 0, len(data)
    while size - position >= HEADER_BYTES:
        magic, crc, kind, length, number, time = _HEADER.unpack_from(data, position)
        end = position + HEADER_BYTES + length
        if magic != MAGIC or end > size or zlib.crc32(memoryview(data)[position + 6 : end]) != crc:
            break
        frames.append(Frame(kind, number, time, data[position + HEADER_BYTES : end], base + end))
        position = end
    return frames


def resync(data: bytes) -> int | None:
    """Return the position of the first valid frame in `data` after its first byte, or None."""
    position = data.find(MAGIC, 1)
    while position >= 0:
        if _whole_at(data, position):
            return position
        position = data.find(MAGIC, position + 1)
    return None


def _whole_at(data: bytes, position: int) -> bool:
    if len(data) - position < HEADER_BYTES:
        return False
    _, crc, _, length, _, _ = _HEADER.unpack_from(data, position)
    end: int = position + HEADER_BYTES + length
    return end <= len(data) and int(crc) == zlib.crc32(memoryview(data)[position + 6 : end])


def frames_of(path: Path, offset: int = 0) -> Iterator[Frame]:
    """Yield the valid frames of a segment from `offset` on, without damaged parts; in memory is one chunk (4 MiB, more for a longer frame)."""
    chunk = _CHUNK_BYTES
    with path.open("rb", buffering=0) as segment:
        while data := os.pread(segment.fileno(), chunk, offset):
            frames = parse(data, offset)
            yield from frames
            if frames:
                offset = frames[-1].end
            elif (found := resync(data)) is not None:
                offset += found
            elif len(data) == chunk:
                chunk *= _GROWTH
            else:
                return


def read_segment(path: Path) -> tuple[list[Frame], int]:
    """Return all valid frames of a segment, without damaged parts, and the offset after the last frame."""
    frames = list(frames_of(path))
    return frames, frames[-1].end if frames else 0


def segment_path(directory: Path, index: int) -> Path:
    """Return the path of segment `index`."""
    return directory / f"{index:012d}{SUFFIX}"


def segments(directory: Path) -> list[int]:
    """Return the indexes of the segments in `directory`, ascending."""
    return sorted(int(name[: -len(SUFFIX)]) for name in os.listdir(directory) if name.endswith(SUFFIX))  # noqa: PTH208 - half the cost of Path objects
