import pytest

from serving.capture import segment
from serving.capture.segment import (
    HEADER_BYTES,
    MAGIC,
    Head,
    Kind,
    OpenRequest,
    encode_frame,
    head_of,
    parse,
    read_segment,
    record_of,
    resync,
)
from stream.wire import Record


def a_frame(number: int, value: bytes = b"{}", kind: Kind = Kind.REQUEST) -> bytes:
    return encode_frame(kind, number, number * 10, Record(key=b"k", value=value, headers=(("ce_id", b"1"),)))


FRAMES = [a_frame(number, b'{"a":%d}' % number) for number in range(1, 4)]
LOG = b"".join(FRAMES)


def test_a_frame_reads_back_as_it_was_written():
    (frame,) = parse(a_frame(7, b'{"x":1}'))
    assert (frame.kind, frame.number, frame.time) == (Kind.REQUEST, 7, 70)
    assert record_of(frame) == Record(key=b"k", value=b'{"x":1}', headers=(("ce_id", b"1"),))


def test_the_bytes_of_a_frame_are_as_documented():
    frame = a_frame(5, b"{}")
    assert frame[:2] == b"\xd7W"
    assert frame[6] == Kind.REQUEST
    assert int.from_bytes(frame[7:11], "little") == len(frame) - HEADER_BYTES
    assert int.from_bytes(frame[11:19], "little") == 5
    assert int.from_bytes(frame[19:27], "little") == 50


def test_a_head_has_the_source_the_shed_count_and_the_open_requests():
    head = Head(source="s", shed=3, open=(OpenRequest(request_id="r", tenant="t", model="m"),))
    (frame,) = parse(encode_frame(Kind.HEAD, 9, 90, head))
    assert (frame.number, head_of(frame)) == (9, head)


@pytest.mark.parametrize("cut", range(len(FRAMES[2])))
def test_if_the_last_frame_is_torn_at_any_byte_the_frames_before_it_are_read(cut):
    frames = parse(LOG[: len(LOG) - len(FRAMES[2]) + cut])
    assert [frame.number for frame in frames] == [1, 2]


@pytest.mark.parametrize("position", range(len(FRAMES[1])))
def test_if_a_bit_is_flipped_at_any_byte_only_that_frame_is_lost(tmp_path, position):
    data = bytearray(LOG)
    data[len(FRAMES[0]) + position] ^= 0x10
    path = tmp_path / "0.seg"
    path.write_bytes(data)
    frames, end = read_segment(path)
    assert [frame.number for frame in frames] == [1, 3]
    assert end == len(LOG)


def test_reading_begins_at_any_frame():
    frames = parse(LOG)
    again = parse(LOG[frames[0].end :], frames[0].end)
    assert again == frames[1:]


def test_text_that_looks_like_a_frame_is_not_read_as_a_frame():
    hostile = "\ud7ff\u05d7W" * 50 + a_frame(99).decode("latin-1")
    log = a_frame(1, hostile.encode() + MAGIC + bytes(HEADER_BYTES)) + a_frame(2)
    assert resync(log) == len(log) - len(a_frame(2))


def test_a_frame_that_is_longer_than_a_chunk_is_read(tmp_path, monkeypatch):
    monkeypatch.setattr(segment, "_CHUNK_BYTES", len(FRAMES[0]) // 2)
    path = tmp_path / "0.seg"
    path.write_bytes(LOG)
    assert list(segment.frames_of(path)) == parse(LOG)
