"""The number of model processes, from the cores that the score worker may use."""

import pytest

from stream import settings
from stream.settings import ScoreSettings, usable_cores


@pytest.mark.parametrize(
    ("cores", "limit", "expected"),
    [
        (2, "max 100000", (2, 1)),
        (1, None, (1, 1)),
        (16, "max 100000", (16, 4)),
        (16, "600000 100000", (6, 3)),
        (16, "50000 100000", (1, 1)),
        (4, "not a limit", (4, 2)),
    ],
)
def test_there_is_one_process_for_every_two_cores(monkeypatch, tmp_path, cores, limit, expected):
    path = tmp_path / "cpu.max"
    if limit is not None:
        path.write_text(f"{limit}\n")
    monkeypatch.setattr(settings, "_CPU_LIMIT", path)
    monkeypatch.setattr(settings.os, "sched_getaffinity", lambda _pid: set(range(cores)))
    assert (usable_cores(), ScoreSettings().processes) == expected
    assert ScoreSettings(workers=7).processes == 7
