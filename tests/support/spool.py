"""Records and spools for the tests of capture."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from serving.capture.clock import SourceClock
from serving.capture.segment import Frame, Kind, read_segment, record_of, segment_path, segments
from serving.capture.spool_layout import create_source
from serving.capture.spool_writer import SpoolWriter
from serving.settings import CaptureSettings
from stream.files import FileLock
from stream.wire import Event, decode
from support.events import TRACE, a_request, an_end

NUMBERED = {Kind.REQUEST, Kind.END}


class Spool:
    """A spool that this process writes and has locked; `kill()` leaves it as SIGKILL would."""

    def __init__(self, root: Path, settings: CaptureSettings | None = None, clock: SourceClock | None = None) -> None:
        self.root = root
        self.source, self.directory, self.lock = create_source(root)
        self.writer = SpoolWriter(self.directory, self.source, settings or CaptureSettings(), clock=clock)

    def request(self, name: str, text: str = "hello") -> int:
        return self.writer.request(a_request(name, text), traceparent=TRACE)

    def end(self, name: str, text: str = "world") -> bool:
        return self.writer.end(an_end(name, text))

    def fill(self, count: int, text: str = "hello", *, ended: bool = False) -> None:
        """Append the requests r0, r1, …, each with its end if `ended`."""
        for number in range(count):
            self.request(f"r{number}", text)
            if ended:
                self.end(f"r{number}")

    def kill(self) -> None:
        self.writer.close()
        self.lock.release()


def lock_of(directory: Path) -> FileLock | None:
    return FileLock.try_acquire(directory / "lock")


def frames_of(directory: Path) -> list[Frame]:
    return [frame for index in segments(directory) for frame in read_segment(segment_path(directory, index))[0]]


def events_of(directory: Path) -> list[Event]:
    return [decode(record.value, record.headers) for record in map(record_of, without_heads(frames_of(directory)))]


def without_heads(frames: list[Frame]) -> list[Frame]:
    return [frame for frame in frames if frame.kind != Kind.HEAD]


def flip_bit(path: Path, offset: int) -> None:
    """Flip one bit of a segment, as a faulty disk does."""
    data = bytearray(path.read_bytes())
    data[offset] ^= 1
    path.write_bytes(data)


def small_settings(**fields) -> CaptureSettings:
    """Return settings whose reserve for an end is small enough for spools of a few segments."""
    return CaptureSettings(**({"end_reserve_bytes": 4096, "segment_bytes": 16_384} | fields))


@contextmanager
def no_file_beyond(size: int) -> Iterator[None]:
    """Make writes past `size` bytes of a file fail, as on a full disk; a write across the limit is partial."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
