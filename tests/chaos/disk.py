"""A small disk: a tmpfs that can be filled to the last byte and emptied."""

import subprocess


class SmallDisk:
    """A tmpfs on `folder`; raises PermissionError without root (or CAP_SYS_ADMIN)."""

    def __init__(self, folder, megabytes) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        command = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0700", "tmpfs", str(folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise PermissionError(f"F10 mounts a tmpfs on {folder}, which needs root: {done.stderr.strip()}")

    def fill(self):
        """Fill the disk; return the number of bytes written."""
        size, taken = 1 << 20, 0
        with (self.folder / "others").open("ab", buffering=0) as file:
            while size:
                try:
                    taken += file.write(b"x" * size)
                except OSError:
                    size //= 2
        return taken

    def empty(self):
        """Free the space that `fill` took."""
        (self.folder / "others").unlink(missing_ok=True)

    def unmount(self):
        """Remove the disk, even if files are open on it."""
        subprocess.run(["umount", "-l", str(self.folder)], capture_output=True, check=False)
