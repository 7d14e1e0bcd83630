"""What no labelled set measures, the detectors of streams above all: one registry, a row a study.

A study that is named like a detector of streams is part of every evaluation; the others take longer and run when they are named.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from detectors.embedding import Embedder
from detectors.errors import DataError
from detectors.evaluate.budget import Clustered, Cycle, Exchangeable, Null, run_lengths
from detectors.evaluate.changes import compare
from detectors.evaluate.own import bias, identification
from detectors.evaluate.patience import patience
from detectors.evaluate.sentinels import sentinel
from detectors.evaluate.streams import anomaly, drift
from detectors.monitor import Budget
from detectors.multitask import TASKS
from detectors.registry import STREAM, create_text
from detectors.train.data import clinc_domains

__all__ = ["STUDIES", "Study", "study"]

Row = dict[str, Any]
LIMIT = 1000
EVENTS_A_DAY = 2000


class Study(NamedTuple):
    """A study of one detector: what it measures, and (data folder, simulated streams a row, seed) to rows.

    A row has ``detector``, ``data`` (what the stream is, and what changes) and ``runs``, and what was measured: ``delay_*`` in events,
    ``missed`` and ``too_early`` in runs, ``run_length`` between false alarms (over N, where the row says so).
    """

    detector: str
    about: str
    run: Callable[[Path, int, int], list[Row]]


def _run_lengths(_: Path, runs: int, seed: int) -> list[Row]:
    rows: list[Row] = []
    for limit in (LIMIT, 10 * LIMIT):
        streams: dict[str, Null] = {
            "exchangeable": Exchangeable(),
            "conversations of five": Clustered(seed, runs),
            f"a daily cycle of {EVENTS_A_DAY} events": Cycle(EVENTS_A_DAY),
        }
        for kind, stream in streams.items():
            lengths = run_lengths(stream, Budget(limit=limit), runs=runs, seed=seed)
            data = f"{kind}, N = {limit}, reference 200: mean run length / N"
            rows.append(
                {"detector": "drift", "data": data, "runs": runs, "run_length": float(np.mean(lengths)) / limit}
            )
    return rows


def _delays(root: Path, runs: int, seed: int) -> list[Row]:
    embedder = Embedder()
    embedder.load()
    domains = {name: texts[:300] for name, texts in clinc_domains(root).items()}
    vectors = {name: np.stack(list(embedder.embed_many(texts))) for name, texts in domains.items()}
    return compare(vectors, LIMIT, runs, seed)


def _patience(_: Path, runs: int, seed: int) -> list[Row]:
    return patience(streams=1000, changed=20, limit=LIMIT, rounds=runs, seed=seed)


def _bias(*_: object) -> list[Row]:
    rows: list[Row] = []
    for name in TASKS:
        detector = create_text(name)
        detector.load()
        rows += bias(name, detector)
    return rows


#: Name → study.
STUDIES: dict[str, Study] = {
    "drift": Study("drift", "a switch of domain, streams without a change, run lengths at N = 1,000", drift),
    "anomaly": Study("anomaly", "latency, errors, no change", lambda _, runs, seed: anomaly(runs, seed)),
    "sentinel": Study(
        "sentinel", "simulated answers that change, or do not", lambda _, runs, seed: sentinel(runs, seed)
    ),
    "run-length": Study(
        "drift", "run lengths at N = 1,000 and 10,000: exchangeable, conversations, a daily cycle", _run_lengths
    ),
    "delays": Study("drift", "three changes of topics, beside windowed MMD and river's detectors", _delays),
    "languages": Study(
        "language", "sentences of 62 languages, by the length that is read", lambda *_: identification()
    ),
    "bias": Study("toxicity", "gap of toxicity, injection and refusal between identity terms", _bias),
    "patience": Study("drift", "error over patience on 1,000 streams, e-d-BH beside each by itself", _patience),
}
assert {name for name in STUDIES if name in STREAM} == set(STREAM), "a stream detector without a study"


def study(name: str) -> Study:
    """Return a study by name.

    Raises
    ------
    DataError
        There is none of that name.
    """
    if name not in STUDIES:
        known = "; ".join(f"{key}: {one.about}" for key, one in STUDIES.items())
        raise DataError(f"there is no study {name!r}: choose one of {known}")
    return STUDIES[name]
