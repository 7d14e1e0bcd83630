"""Blocks of ports, one a home: two stacks of one user never have a port in common, also while one of them is down.

Why this exists: Ray takes ports of a range one by one and shares them with SO_REUSEPORT, so ranges that merely looked free when
they were chosen could later have one stack answer for the other. A claim is a file named by its block, holding the home; it
lapses when that home is gone.
"""

import os
import tempfile
from pathlib import Path

from stream.files import FileLock

__all__ = ["FIRST_PORT", "LAST_PORT", "SLOT_WIDTH", "claim_slot"]

#: Below the kernel's range for outgoing connections (32768 and up on Linux), and off Ray's default workers (10002 to 19999).
FIRST_PORT, LAST_PORT, SLOT_WIDTH = 20_000, 32_543, 256
_SLOTS = (LAST_PORT + 1 - FIRST_PORT) // SLOT_WIDTH


def _directory() -> Path:
    path = Path(tempfile.gettempdir()) / f"weir-ports-{os.getuid()}"
    path.mkdir(mode=0o700, exist_ok=True)
    return path


def claim_slot(home: Path, preferred: int) -> range:
    """Return the ports of `home`'s block, claiming one where it has none.

    Parameters
    ----------
    home
        The home; the same one gets the same block for as long as it exists.
    preferred
        Where to begin to look, so that unrelated homes spread out.
    """
    directory = _directory()
    with FileLock.acquire(directory / "lock"):
        claims = _claims(directory)
        slot = next((slot for slot, owner in claims.items() if owner == str(home)), None)
        if slot is None:
            order = [(preferred + step) % _SLOTS for step in range(_SLOTS)]
            slot = next((one for one in order if one not in claims), order[0])
            (directory / str(slot)).write_text(str(home), encoding="utf-8")
    first = FIRST_PORT + slot * SLOT_WIDTH
    return range(first, first + SLOT_WIDTH)


def _claims(directory: Path) -> dict[int, str]:
    """Return {slot: home} of the claims whose home exists."""
    claims = {}
    for path in directory.iterdir():
        if path.name.isdigit():
            owner = path.read_text(encoding="utf-8")
            if Path(owner).is_dir():
                claims[int(path.name)] = owner
    return claims
