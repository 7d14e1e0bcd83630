"""A small disk of its own: a tmpfs, filled to the last byte and emptied again."""

import subprocess
from pathlib import Path

__all__ = ["SmallDisk"]


class SmallDisk:
    """A tmpfs on `folder`; mounting needs root (or CAP_SYS_ADMIN), and says so where it is refused."""

    def __init__(self, folder: Path, megabytes: int) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0700", "tmpfs", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise PermissionError(f"F10 mounts a tmpfs on {folder}, which takes root: {done.stderr.strip()}")

    def fill(self) -> int:
        """Take all that is free; return how many bytes."""
        size, taken = 1 << 20, 0
        with (self.folder / "others").open("ab", buffering=0) as file:
            while size:
                try:
                    taken += file.write(b"x" * size)
                except OSError:
                    size //= 2
        return taken

    def empty(self) -> None:
        """Give it back."""
        (self.folder / "others").unlink(missing_ok=True)

    def unmount(self) -> None:
        """Remove the disk, whoever still has files open on it."""
        subprocess.run(["umount", "-l", str(self.folder)], capture_output=True, check=False)
