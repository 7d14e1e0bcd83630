"""The inputs of a study."""

from pathlib import Path
from typing import NamedTuple

from detectors.evaluate.datasets import ExampleLoader
from detectors.evaluate.progress import Progress
from detectors.evaluate.public_sets import public_examples

__all__ = ["StudyContext"]


class StudyContext(NamedTuple):
    """The data folder, simulated streams a row, the seed, progress, and the loader of the shared encoder's examples."""

    data: Path
    runs: int
    seed: int
    progress: Progress
    load_examples: ExampleLoader = public_examples
