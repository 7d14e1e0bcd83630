"""The registry of all studies.

A study with the name of a stream detector is part of every evaluation of this detector. The other studies take longer
and run only if ``--study`` names them.
"""

from collections.abc import Callable
from typing import NamedTuple

from detectors.errors import DataError
from detectors.evaluate.studies.changed_answers import anomaly, tool_mix
from detectors.evaluate.studies.context import Row, StudyContext
from detectors.evaluate.studies.disguises import disguised_pii
from detectors.evaluate.studies.domain_switch import domain_switch
from detectors.evaluate.studies.identity_terms import identity_bias
from detectors.evaluate.studies.languages import language_identification
from detectors.evaluate.studies.paired_answers import paired_answers
from detectors.evaluate.studies.sentinel import sentinel
from detectors.registry import STREAM


class Study(NamedTuple):
    """A study: its detector, a description of its subject, and the function that returns its table rows."""

    detector: str
    about: str
    run: Callable[[StudyContext], list[Row]]


STUDIES: dict[str, Study] = {
    "drift": Study("drift", "a switch of domain, texts without a change", domain_switch),
    "anomaly": Study("anomaly", "latency, tokens, errors, no change", anomaly),
    "sentinel": Study("sentinel", "simulated answers that change, or do not", sentinel),
    "tool_mix": Study("tool_mix", "called tools that change, or do not", tool_mix),
    "languages": Study("language", "sentences of 62 languages, by the length that is read", language_identification),
    "bias": Study(
        "toxicity",
        "gap of toxicity, injection and refusal between identity terms; simulated answers to paired prompts",
        lambda study: [*identity_bias(study), *paired_answers(study)],
    ),
    "disguises": Study("pii", "personal data in eight disguises and three codes", disguised_pii),
}
assert {name for name in STUDIES if name in STREAM} == set(STREAM), "a stream detector without a study"


def find_study(name: str) -> Study:
    """Return a study by name; raise DataError if no study has this name."""
    if name not in STUDIES:
        known = "; ".join(f"{key}: {one.about}" for key, one in STUDIES.items())
        raise DataError(f"there is no study {name!r}: choose one of {known}")
    return STUDIES[name]
