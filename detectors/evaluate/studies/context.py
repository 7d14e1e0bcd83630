"""The inputs and the rows of a study."""

from pathlib import Path
from typing import Any, NamedTuple

from detectors.evaluate.progress import Progress

#: A table row: ``detector``, ``data`` (description of the stream or texts, and the change), ``runs``, and metrics.
Row = dict[str, Any]


class StudyContext(NamedTuple):
    """Inputs of a study: data folder, simulated streams per row, seed, progress callback."""

    data: Path
    runs: int
    seed: int
    progress: Progress
