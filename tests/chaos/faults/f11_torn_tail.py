"""F11: the spool's last record cut off at every byte, and with flipped bits."""

import shutil
import tempfile
from pathlib import Path

from chaos.strike import Fault
from serving.capture.adopt_spool import adopt
from serving.capture.delivery_cursor import Cursor
from serving.capture.segment import Kind, segment_path
from serving.capture.spool_layout import create_source
from serving.capture.spool_reader import SpoolReader
from serving.capture.spool_writer import SpoolWriter
from serving.settings import CaptureSettings
from stream.wire import Message, RequestRecord

_TRACE = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
_WHOLE = 6
_FLIPS = 40


class TornTail(Fault):
    """Cuts one spool per strike at every byte of its last record, then adopts and reads each damaged copy."""

    key = "F11"
    what = "the spool's last record torn at every byte, and damaged at 40"
    mutation = "no-crc"
    breaks = ("F11",)
    in_lab = False

    def strike(self, lab, chance, strike):
        """Write a spool and damage copies of it; each copy must keep its undamaged records."""
        with tempfile.TemporaryDirectory(prefix="weir-chaos-") as folder:
            directory, start = _spool(Path(folder) / "spool", chance)
            data = segment_path(directory, 0).read_bytes()
            damaged = {f"cut at byte {at}": data[:at] for at in range(start, len(data))}
            for _ in range(_FLIPS):
                at = chance.randrange(start, len(data))
                flipped = bytearray(data)
                flipped[at] ^= 1 << chance.randrange(8)
                damaged[f"bit flipped in byte {at}"] = bytes(flipped)
            wrong = [f"{how}: {fault}" for how, content in damaged.items() if (fault := _read(directory, content))]
        cuts = len(data) - start
        strike.how = f"{cuts} cuts and {_FLIPS} flips in a record of {cuts} bytes"
        strike.effect = f"{cuts} torn spools"
        strike.require(not wrong, f"F11: {len(wrong)} damaged spools were not read correctly: {wrong[:1]}")


def _spool(root, chance):
    """Write a spool of seven requests; return its directory, and the offset of the last record."""
    source, directory, lock = create_source(root)
    writer, start = SpoolWriter(directory, source, CaptureSettings()), 0
    for number in range(_WHOLE + 1):
        start = segment_path(directory, 0).stat().st_size
        message = Message.of_text("user", "x" * chance.randint(0, 300))
        request = RequestRecord(request_id=f"r{number}", tenant="acme", model="m", messages=(message,))
        writer.request(request, traceparent=_TRACE)
    writer.close()
    lock.release()
    return directory, start


def _read(directory, content):
    """Adopt and read a copy of the spool whose segment is `content`; return an error text, or ""."""
    copy = directory.parents[1] / "copy" / directory.name
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(directory, copy)
    segment_path(copy, 0).write_bytes(content)
    try:
        aborted = adopt(copy, copy.name)
        reader = SpoolReader(copy, Cursor())
        frames = [(item.frame, item.missing) for item in reader.read()]
        reader.close()
    except Exception as error:  # noqa: BLE001 - any exception means that the spool could not be read
        return type(error).__name__
    kinds = [frame.kind for frame, _ in frames]
    wanted = [Kind.HEAD, *[Kind.REQUEST] * _WHOLE, *[Kind.END] * _WHOLE, Kind.CLOSED]
    if kinds != wanted or aborted != _WHOLE:
        return f"frames {kinds}, aborted {aborted}"
    return "numbers are missing" if any(missing for _, missing in frames) else ""
