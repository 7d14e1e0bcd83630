"""F11: the spool's last record torn at every byte, then damaged at some."""

import random
import shutil
import tempfile
from pathlib import Path
from typing import Any, ClassVar

from chaos.strike import Fault, Lab, Strike
from serving.capture.adopt_spool import adopt
from serving.capture.delivery_cursor import Cursor
from serving.capture.segment import Kind, segment_path
from serving.capture.spool_layout import create_source
from serving.capture.spool_reader import SpoolReader
from serving.capture.spool_writer import SpoolWriter
from serving.settings import CaptureSettings
from stream.wire import Message, RequestRecord

__all__ = ["TornTail", "strike"]

_TRACE = "00-" + "a" * 32 + "-" + "b" * 16 + "-01"
_WHOLE = 6
_FLIPS = 40


class TornTail(Fault):
    """One spool a strike, cut at every byte of its last record; the adopter ends it, the reader reads it."""

    key: ClassVar[str] = "F11"
    what: ClassVar[str] = "the spool's last record torn at every byte, and damaged at 40"
    mutation: ClassVar[str] = "no-crc"
    breaks: ClassVar[tuple[str, ...]] = ("F11",)
    in_lab: ClassVar[bool] = False

    def strike(self, lab: Lab, chance: random.Random, strike: Strike) -> None:
        """Not in a lab: see :func:`strike`."""
        raise NotImplementedError

    name: ClassVar[str] = "torn-tail"


def strike(seed: str) -> dict[str, Any]:
    """Write a spool, tear copies of it, and say which did not keep their good prefix."""
    chance = random.Random(seed)
    with tempfile.TemporaryDirectory(prefix="weir-chaos-") as folder:
        root = Path(folder)
        directory, names, start = _spool(root / "spool", chance)
        size = segment_path(directory, 0).stat().st_size
        wrong = [
            f"cut at byte {at}: {said}" for at in range(start, size) if (said := _torn(directory, root, at, names))
        ]
        for _ in range(_FLIPS):
            at = chance.randrange(start, size)
            if said := _damaged(directory, root, at, 1 << chance.randrange(8), names):
                wrong.append(f"bit flipped in byte {at}: {said}")
    return {
        "how": f"{size - start} cuts and {_FLIPS} flips in a record of {size - start} bytes",
        "bit": f"{size - start} torn spools",
        "violations": [f"F11: {len(wrong)} spools are not as they should be: {wrong[0]}"] if wrong else [],
    }


def _spool(root: Path, chance: random.Random) -> tuple[Path, list[str], int]:
    source, directory, lock = create_source(root)
    writer = SpoolWriter(directory, source, CaptureSettings())
    names, start = [f"r{number}" for number in range(_WHOLE + 1)], 0
    for name in names:
        start = segment_path(directory, 0).stat().st_size
        text = "x" * chance.randint(0, 300)
        writer.request(
            RequestRecord(request_id=name, tenant="acme", model="m", messages=(Message(role="user", content=text),)),
            traceparent=_TRACE,
        )
    writer.close()
    lock.release()
    return directory, names, start


def _torn(directory: Path, root: Path, at: int, names: list[str]) -> str:
    copy = _copy(directory, root)
    path = segment_path(copy, 0)
    with path.open("r+b") as file:
        file.truncate(at)
    return _read(copy, names[:-1])


def _damaged(directory: Path, root: Path, at: int, bit: int, names: list[str]) -> str:
    copy = _copy(directory, root)
    path = segment_path(copy, 0)
    data = bytearray(path.read_bytes())
    data[at] ^= bit
    path.write_bytes(data)
    return _read(copy, names[:-1])


def _copy(directory: Path, root: Path) -> Path:
    copy = root / "copy" / directory.name
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(directory, copy)
    return copy


def _read(copy: Path, whole: list[str]) -> str:
    """Adopt and read a spool; return what is wrong with it."""
    try:
        aborted = adopt(copy, copy.name)
        reader = SpoolReader(copy, Cursor())
        frames = [(item.frame, item.missing) for item in reader.read()]
        reader.close()
    except Exception as error:  # noqa: BLE001 - whatever it raises, the spool could not be read
        return f"{type(error).__name__}"
    kinds = [frame.kind for frame, _ in frames]
    wanted = [Kind.HEAD, *[Kind.REQUEST] * len(whole), *[Kind.END] * len(whole), Kind.CLOSED]
    if kinds != wanted or aborted != len(whole):
        return f"frames {kinds}, aborted {aborted}"
    return "numbers are missing" if any(missing for _, missing in frames) else ""
