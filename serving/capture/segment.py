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
from pathlib import Path

import msgspec

from stream.wire import Record

MAGIC = b"\xd7W"
SUFFIX = ".seg"
HEADER_BYTES = 27
MAX_PAYLOAD_BYTES = 64 * 1024 * 1024
#: Size limit of one :class:`OpenRequest`, which every HEAD contains until the request ends.
MAX_OPEN_BYTES = 4096

_PREFIX = struct.Struct("<2sI")
_BODY = struct.Struct("<BIQq")
_HEADER = struct.Struct("<2sIBIQq")
_ENCODER = msgspec.msgpack.Encoder()
_RECORD = msgspec.msgpack.Decoder(Record)


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


def parse(data: bytes, base: int = 0) -> tuple[list[Frame], bool]:
    """Return the valid frames at the start of `data`, and whether damage follows them (False: at most an incomplete frame).

    `base` is the offset of ``data[0]`` in the segment.
    """
    frames: list[Frame] = []
    position, size = 0, len(data)
    while size - position >= HEADER_BYTES:
        magic, crc, kind, length, number, time = _HEADER.unpack_from(data, position)
        if magic != MAGIC or length > MAX_PAYLOAD_BYTES:
            return frames, True
        end = position + HEADER_BYTES + length
        if end > size:
            return frames, False
        if zlib.crc32(memoryview(data)[position + 6 : end]) != crc:
            return frames, True
        frames.append(Frame(kind, number, time, data[position + HEADER_BYTES : end], base + end))
        position = end
    return frames, False


def resync(data: bytes, start: int = 1) -> int | None:
    """Return the position of the first valid frame in `data` from `start` on, or None."""
    position = data.find(MAGIC, start)
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


def read_segment(path: Path) -> tuple[list[Frame], int]:
    """Return all valid frames of a segment, without damaged parts, and the offset after the last frame."""
    data = path.read_bytes()
    frames, _ = parse(data)
    end = frames[-1].end if frames else 0
    while (found := resync(data, end + 1)) is not None:
        more, _ = parse(data[found:], found)
        frames += more
        end = more[-1].end
    return frames, end


def segment_path(directory: Path, index: int) -> Path:
    """Return the path of segment `index`."""
    return directory / f"{index:012d}{SUFFIX}"


def segments(directory: Path) -> list[int]:
    """Return the indexes of the segments in `directory`, ascending."""
    return sorted(int(name[: -len(SUFFIX)]) for name in os.listdir(directory) if name.endswith(SUFFIX))  # noqa: PTH208 - half the cost of Path objects
