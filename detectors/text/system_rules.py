"""A request in view of its system prompt: whether it asks for something that the prompt keeps secret.

Two readings of the request count: its log-odds as an attack, and the log-odds that it asks for a secret (an output of the
encoder). The second stage adds a third: the log-odds that the request asks for a secret, read beside its system prompt. The weights of the
readings come from a logistic regression on texts of separate authors (`detectors.train.calibration`), and are stored with the weights of the
encoder and of the second stage. What else the system prompt forbids does not count. A small model decides whether a system prompt keeps a
secret; its recent results are kept by digest of the prompt.
"""

from collections.abc import Iterable, Sequence

from detectors.base import OPERATOR_ROLES, Turn
from detectors.models.recent import Recent
from detectors.models.term_model import load_secrets

#: Maximum number of characters of a system prompt that are read.
READ = 16_384
#: Limit of the absolute value of a reading.
_BOUND = 4.0
_RESULTS = Recent[str, bool]()


def guards_secret(turns: Iterable[Turn]) -> bool:
    """Return whether the first `READ` characters of the system messages among ``turns`` keep something secret from the user.

    A model of words decides (`detectors.train.secrets_trainer`). An order to conceal only the instructions is no secret, but some
    such prompts count.
    """
    (found,) = _RESULTS.of([system_prompt(turns)], lambda new: [_keeps_secret(system) for system in new])
    return found


def system_prompt(turns: Iterable[Turn]) -> str:
    """Return the first `READ` characters of the system messages among ``turns``."""
    return "\n".join(turn.content for turn in turns if turn.role in OPERATOR_ROLES)[:READ]


def _keeps_secret(system: str) -> bool:
    return bool(system.strip()) and load_secrets().log_odds(system) >= 0.0


def bounded(*readings: float) -> tuple[float, ...]:
    """Return the readings of a request, log-odds within -4 to 4."""
    return tuple(min(_BOUND, max(-_BOUND, reading)) for reading in readings)


def conflict_log_odds(readings: Sequence[float], constants: Sequence[float]) -> float:
    """Return the log-odds that a request asks for a secret of its system prompt; ``constants``: a slope for each reading, and a shift."""
    *slopes, shift = constants
    return sum(slope * reading for slope, reading in zip(slopes, readings, strict=True)) + shift
