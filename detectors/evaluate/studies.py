"""What no labelled set measures, the detectors of streams above all: one registry, a row a study.

A study that is named like a detector of streams is part of every evaluation; the others take longer and run when they are named.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from detectors.errors import DataError
from detectors.evaluate.clients import clients
from detectors.evaluate.disguised_pii import disguised
from detectors.evaluate.drift_delay import compare, domain_vectors
from detectors.evaluate.own_cases import bias, identification
from detectors.evaluate.patience import patience
from detectors.evaluate.run_length import length_rows
from detectors.evaluate.sentinels import sentinel
from detectors.evaluate.streams import anomaly, drift
from detectors.evaluate.thresholds import proposals
from detectors.evaluate.tiers import tiers
from detectors.models.multitask import TASKS
from detectors.registry import STREAM, create_text

__all__ = ["STUDIES", "Study", "study"]

Row = dict[str, Any]
LIMIT = 1000


class Study(NamedTuple):
    """A study of one detector: what it measures, and (data folder, simulated streams a row, seed) to rows.

    A row has ``detector``, ``data`` (what the stream is, and what changes) and ``runs``, and what was measured: ``delay_*`` in events,
    ``missed`` and ``too_early`` in runs, ``run_length`` between false alarms (over N, where the row says so).
    """

    detector: str
    about: str
    run: Callable[[Path, int, int], list[Row]]


def _patience(_: Path, runs: int, seed: int) -> list[Row]:
    return patience(streams=1000, changed=50, limit=LIMIT, rounds=runs, seed=seed)


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
    "anomaly": Study("anomaly", "latency, tokens, errors, no change", lambda _, runs, seed: anomaly(runs, seed)),
    "sentinel": Study(
        "sentinel", "simulated answers that change, or do not", lambda _, runs, seed: sentinel(runs, seed)
    ),
    "run-length": Study(
        "drift",
        "run lengths at N = 1,000: exchangeable, conversations, daily cycles",
        lambda _, runs, seed: length_rows(LIMIT, runs, seed),
    ),
    "run-length-10000": Study(
        "drift", "the same at N = 10,000", lambda _, runs, seed: length_rows(10 * LIMIT, runs, seed)
    ),
    "delays": Study(
        "drift",
        "three changes of topics, beside windowed MMD and river's detectors",
        lambda root, runs, seed: compare(domain_vectors(root), LIMIT, runs, seed),
    ),
    "clients": Study(
        "drift",
        "false alarms and delays on real texts, by the conversation ids that clients send",
        lambda root, runs, seed: clients(root, LIMIT, runs, seed),
    ),
    "languages": Study(
        "language", "sentences of 62 languages, by the length that is read", lambda *_: identification()
    ),
    "bias": Study("toxicity", "gap of toxicity, injection and refusal between identity terms", _bias),
    "tiers": Study(
        "toxicity",
        "the cheap tier beside the encoder: what it costs and loses, disguises, lengths",
        lambda root, _, seed: tiers(root, seed),
    ),
    "thresholds": Study(
        "toxicity",
        "thresholds by leaving one source of the tune split out",
        lambda root, _, seed: proposals(root, seed),
    ),
    "disguises": Study(
        "pii",
        "personal data in eight disguises and three codes",
        lambda root, _, seed: disguised(root / "pii/presidio_generated_large.json.gz", seed),
    ),
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
