"""Blocks of ports, one for each home: the stacks of up to 49 homes share no port, even while some of the stacks are down.

Ray opens ports of a range one by one with SO_REUSEPORT, so if the ranges of two stacks overlapped, one stack could answer for the other.
A claim is a file whose name is the block's number and whose content is the home; it expires when the home is deleted.
"""

import os
import stat
import tempfile
from pathlib import Path

from stream.files import FileLock, replace_file
from weir.errors import StackError

#: Below the kernel's ports for outgoing connections (32768 and up on Linux), above those of Ray's default workers (10002 to 19999).
FIRST_PORT, _LAST_PORT = 20_000, 32_543
BLOCK_WIDTH = 256
_BLOCKS = (_LAST_PORT + 1 - FIRST_PORT) // BLOCK_WIDTH


def blocks_directory() -> Path:
    """Return the folder of this user's claims, created if it is missing; raises StackError if another user could have made it."""
    path = Path(tempfile.gettempdir()) / f"weir-ports-{os.getuid()}"
    try:
        path.mkdir(mode=0o700, exist_ok=True)
    except OSError as error:
        raise StackError(
            f"{path} cannot be created ({error.strerror}); set TMPDIR to a folder that you can write to"
        ) from None
    found = path.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():  # its links could lead to any file of this user
        raise StackError(
            f"{path} is a link or belongs to uid {found.st_uid}, and must be a folder of uid {os.getuid()}; delete it, or set TMPDIR to "
            "a folder that only you can write to"
        )
    return path


def claim_block(home: Path, preferred: int) -> range:
    """Return the ports of `home`'s block; if `home` has none, claim the first free block from number `preferred` on (or this block)."""
    directory = blocks_directory()
    with FileLock.acquire(directory / "lock"):
        claims = _claims(directory)
        block = next((block for block, owner in claims.items() if owner == str(home)), None)
        if block is None:
            order = [(preferred + step) % _BLOCKS for step in range(_BLOCKS)]
            block = next((number for number in order if number not in claims), order[0])
            replace_file(directory / str(block), str(home))
    first = FIRST_PORT + block * BLOCK_WIDTH
    return range(first, first + BLOCK_WIDTH)


def _claims(directory: Path) -> dict[int, str]:
    """Return {number of the block: home} of the claims whose home exists."""
    claims = {}
    for path in directory.iterdir():
        if path.name.isdigit():
            owner = path.read_text(encoding="utf-8")
            if Path(owner).is_dir():
                claims[int(path.name)] = owner
    return claims
