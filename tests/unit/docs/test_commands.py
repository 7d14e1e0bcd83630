"""Commands of the documentation that delete data."""

import os
import re
import subprocess
import time
from pathlib import Path

ROOT = Path(__file__).parents[3]
_HOUR = 3600
_DAY = 24 * _HOUR


def test_the_daily_deletion_of_the_archive_keeps_no_file_for_more_than_90_days(tmp_path):
    """A file that is kept must be younger than 89 days, because the command runs again after a day."""
    (command,) = re.findall(
        r"`(find \.weir/archive -type f -mtime \+\d+ -delete)`", (ROOT / "docs" / "loop.md").read_text()
    )
    archive = tmp_path / ".weir" / "archive"
    archive.mkdir(parents=True)
    for name, age in {"old": 89 * _DAY + _HOUR, "young": 89 * _DAY - _HOUR}.items():
        (archive / name).touch()
        os.utime(archive / name, (time.time() - age,) * 2)
    subprocess.run(command.split(), cwd=tmp_path, check=True)
    assert [path.name for path in archive.iterdir()] == ["young"]
