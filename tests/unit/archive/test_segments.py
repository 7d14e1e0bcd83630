"""Segments of the archive at an fsspec URL, and the errors of the archive."""

import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from unittest.mock import Mock

import pytest
from fsspec.implementations.memory import MemoryFileSystem

from stream.archive.segments import Archive, ArchivedRecord, Segment
from stream.errors import ArchiveFailed
from stream.wire import format_time


def record(offset, timestamp=0, time=None):
    headers = (("ce_type", b"t"), ("ce_type", b"\xff"))
    if time is not None:
        headers += (("ce_time", format_time(time).encode()),)
    return ArchivedRecord(offset=offset, timestamp=timestamp, key=b"k", value=b'{"a":1}', headers=headers)


def test_segments_are_found_by_offset_and_time_at_an_address():
    archive = Archive("memory://weir-archive-test")
    records = [record(offset, 1_000 * offset) for offset in (3, 4, 8)]
    archive.write("t", 1, 9, records)
    archive.write("t", 1, 20, [record(12, 12_000)])
    again = Archive("memory://weir-archive-test")
    first, second = again.segments("t", 1)
    assert ((first.first, first.last), (second.first, second.last), again.end("t", 1)) == ((3, 9), (12, 20), 20)
    assert list(again.read(first)) == records
    assert again.segments("t", 0) == []
    found = [again.produced_since("t", 1, time) for time in (None, 0.0, 3.5, 9.0, 13.0)]
    assert found == [(3, 3_000, 0), (3, 3_000, 0), (4, 4_000, 4), (12, 12_000, 9), None]
    assert again.oldest("t", 1) == (3, 3.0)


def test_the_last_record_of_a_time_is_found_by_event_time(tmp_path):
    archive = Archive(str(tmp_path))
    times = {0: 10.0, 1: 20.0, 2: 19.0, 3: 30.0, 4: 18.0, 5: 95.0, 6: 19.5}
    archive.write("t", 0, 7, [record(offset, 20_000 if offset < 5 else 96_000, time) for offset, time in times.items()])
    assert archive.last_until("t", 0, 20.0, 80.0) == 5
    assert archive.last_until("t", 0, 9.0, 69.0) == 0
    assert archive.last_until("t", 0, 20.0, 100.0) is None
    assert archive.last_until("t", 0, 200.0, 260.0) is None
    archive.write("t", 0, 11, [record(9, 140_000, 99.0), record(10, 141_000, 140.0)])
    assert archive.last_until("t", 0, 97.0, 139.0) == 9, (
        "the missing records from 7 to 9 are in the range, so its reader reports them"
    )


def test_a_record_of_a_fast_clock_does_not_end_the_search(tmp_path):
    """A gateway's clock is ahead; its records are newer than the time at which they were produced."""
    archive = Archive(str(tmp_path))
    produced = {0: (95, 95.0), 1: (101, 3700.0), 2: (102, 98.0), 3: (103, 99.0), 4: (300, 300.0)}
    archive.write("t", 0, 5, [record(offset, 1000 * at, time) for offset, (at, time) in produced.items()])
    assert archive.last_until("t", 0, 100.0, 160.0) == 4


def test_a_time_is_found_without_reading_every_file(tmp_path, monkeypatch):
    """Reading a file is at least one request to an object store. One year of hourly files is thousands of files."""
    archive, hour, count = Archive(str(tmp_path)), 3_600_000, 300
    times = [number * hour for number in range(count)]
    times[200], times[201] = times[201], times[200]  # the clocks of two gateways differ by an hour
    for number, time in enumerate(times):
        archive.write("t", 0, number + 1, [record(number, time)])
    read = []
    timestamps = archive._timestamps
    monkeypatch.setattr(archive, "_timestamps", lambda segment: read.append(segment) or timestamps(segment))
    for number in (0, 150, 200, 201, count - 1):
        first = 200 if number == 201 else number
        assert archive.produced_since("t", 0, number * 3_600) == (first, times[first], first)
    assert archive.produced_since("t", 0, count * 3_600) is None
    assert len(read) < 200


def test_a_file_from_a_clock_that_was_days_behind_hides_no_earlier_file(tmp_path):
    archive, hour = Archive(str(tmp_path)), 3_600_000
    times = [number * hour for number in range(100, 200)]
    times[50] = 0  # the first file that a bisection reads
    for number, time in enumerate(times):
        archive.write("t", 0, number + 1, [record(number, time)])
    for number in (30, 49, 51, 80):
        assert archive.produced_since("t", 0, times[number] / 1000) == (number, times[number], number)


def test_an_unknown_address_and_a_folder_that_cannot_be_written_are_errors(tmp_path):
    with pytest.raises(ArchiveFailed, match="cannot be opened"):
        Archive("nowhere://user:secret@x")
    (tmp_path / "t").write_text("a file")
    with pytest.raises(ArchiveFailed, match="cannot be written"):
        Archive(str(tmp_path)).write("t", 0, 1, [record(0)])


def test_a_null_header_is_archived():
    archive = Archive("memory://weir-archive-null")
    headers = (("ce_type", None), ("ce_time", None))
    archive.write("t", 0, 1, [ArchivedRecord(offset=0, timestamp=0, key=None, value=b"x", headers=headers)])
    (segment,) = archive.segments("t", 0)
    assert [one.headers for one in archive.read(segment)] == [headers]
    assert archive.last_until("t", 0, 10.0, 5.0) is None, "no record has a time"


@pytest.mark.parametrize("content", [b"", b"PAR1", b"half a file"])
def test_a_damaged_file_is_an_error_with_its_path(tmp_path, content):
    archive = Archive(str(tmp_path))
    archive.write("t", 0, 2, [record(0), record(1)])
    (segment,) = archive.segments("t", 0)
    Path(segment.path).write_bytes(content)
    reads = [lambda: list(archive.read(segment)), lambda: archive.produced_since("t", 0, 1.0)]
    for read in reads:
        with pytest.raises(ArchiveFailed, match=rf"{segment.path} in the archive cannot be read: .*, restore it from"):
            read()


def test_an_address_that_is_no_folder_is_an_error(tmp_path):
    """The error is ArchiveFailed and not OSError, because OSError is reported as a missing broker."""
    (tmp_path / "file").touch()
    with pytest.raises(ArchiveFailed, match=r"file/t/0 in the archive cannot be read: .*check \[archive\] url"):
        Archive(str(tmp_path / "file")).end("t", 0)


def test_an_error_about_a_file_of_a_web_server_has_no_password(tmp_path):
    handler = partial(SimpleHTTPRequestHandler, directory=tmp_path)
    (tmp_path / "t" / "0").mkdir(parents=True)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        archive = Archive(f"http://user:secret@127.0.0.1:{server.server_port}")
        lost = Segment(first=0, last=1, path=f"{archive._root}/t/0/lost.parquet")
        with pytest.raises(ArchiveFailed, match=r"http://\*+@127.*lost.parquet in the archive cannot") as error:
            next(archive.read(lost))
        server.shutdown()
    assert "secret" not in str(error.value)


def test_an_error_of_a_storage_library_is_reported_as_archive_failed(monkeypatch):
    """The errors of some libraries, such as that of S3, are no OSError."""
    with pytest.raises(
        ArchiveFailed, match=r"url 'none://host/x' cannot be opened: Protocol not known.*, or name a folder"
    ):
        Archive("none://host/x")
    archive = Archive("memory://weir-archive-failing")
    for name in ("pipe_file", "ls"):
        monkeypatch.setattr(MemoryFileSystem, name, Mock(side_effect=LookupError("421 the reply")))
    with pytest.raises(ArchiveFailed, match=r"parquet cannot be written: 421 .*, the credentials and the permissions"):
        archive.write("t", 0, 1, [record(0)])
    with pytest.raises(ArchiveFailed, match=r"/t/0 in the archive cannot be read: 421 .*check \[archive\] url"):
        archive.end("t", 0)


@pytest.mark.parametrize("url", ["ftp://host/x", "simplecache::ftp://host/x"])
def test_ftp_is_refused_because_it_encrypts_nothing(url):
    with pytest.raises(
        ArchiveFailed, match=rf"url '{url}' uses FTP, .* without encryption; use an s3:// or sftp:// ad"
    ):
        Archive(url)


def test_a_file_of_a_server_with_folders_has_its_name_only_when_it_is_complete(monkeypatch):
    archive = Archive("memory://weir-archive-draft")
    with monkeypatch.context() as broken:
        broken.setattr(MemoryFileSystem, "mv", lambda *_: (_ for _ in ()).throw(ConnectionResetError))
        with pytest.raises(ArchiveFailed, match="ConnectionResetError"):
            archive.write("t", 0, 1, [record(0)])
    assert archive.segments("t", 0) == []
    archive.write("t", 0, 1, [record(0)])
    assert archive.end("t", 0) == 1
