"""The inputs and the rows of a study."""

from pathlib import Path
from typing import Any, NamedTuple

from detectors.evaluate.datasets import ExampleLoader
from detectors.evaluate.progress import Progress
from detectors.evaluate.public_sets import public_examples

__all__ = ["Row", "StudyContext"]

#: A table row: ``detector``, ``data`` (description of the stream or texts, and the change), ``runs``, and metrics.
Row = dict[str, Any]


class StudyContext(NamedTuple):
    """Inputs of a study: data folder, simulated streams per row, seed, progress callback, loader of labelled texts."""

    data: Path
    runs: int
    seed: int
    progress: Progress
    load_examples: ExampleLoader = public_examples
