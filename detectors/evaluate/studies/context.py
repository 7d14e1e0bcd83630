"""The inputs and the rows of a study."""

from pathlib import Path
from typing import Any, NamedTuple

from detectors.evaluate.datasets import ExampleLoader
from detectors.evaluate.progress import Progress
from detectors.evaluate.public_sets import public_examples

__all__ = ["Row", "StudyContext"]

#: A row of a table: ``detector``, ``data`` (the stream or texts, and their change), ``runs``, and what was measured.
Row = dict[str, Any]


class StudyContext(NamedTuple):
    """The data folder, simulated streams a row, the seed, progress, and the loader of the shared encoder's examples."""

    data: Path
    runs: int
    seed: int
    progress: Progress
    load_examples: ExampleLoader = public_examples
