"""Tool-mix detector: compares which tools the answers call with their own history, by the test of the anomaly detector.

The names of the tools are not known in advance, so each name is one of 32 features by its hash. A new tool, or a tool that is
called more often, raises its feature. Answers without a tool call are ignored.
"""

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import ClassVar

import msgspec

from detectors.base import AlertText, Finding, Observation
from detectors.streams.anomaly import AnomalyDetector

__all__ = ["TOOL_CALLS", "ToolMixDetector", "tool_features"]

#: Feature: number of tool calls of an answer.
TOOL_CALLS = "tool_calls"
_BUCKETS = tuple(f"tool_bucket_{number:02}" for number in range(32))


def tool_features(names: Iterable[str]) -> dict[str, float]:
    """Return the features of an answer that calls the tools `names`: the number of calls, and 1 for the bucket of each name.

    Buckets without a called tool are absent; without a call the result is empty.
    """
    called = list(names)
    if not called:
        return {}
    return {TOOL_CALLS: float(len(called))} | {_bucket(name): 1.0 for name in called}


def _bucket(name: str) -> str:
    digest = hashlib.blake2b(name.encode(errors="replace"), digest_size=8, person=b"weir-tools").digest()
    return _BUCKETS[int.from_bytes(digest, "big") % len(_BUCKETS)]


class ToolMixDetector(AnomalyDetector):
    """Detector that tests the share of answers that call each group of tools, and the number of calls; see `AnomalyDetector`.

    Only answers with tool calls count as events, for the alarm budget too.
    """

    name: ClassVar[str] = "tool_mix"
    version: ClassVar[str] = "1"
    alert: ClassVar[AlertText] = AlertText(
        subject="tool mix",
        runbook="Compare the tool calls of the evidence with older requests (`weir show ID --text`); check new tools, prompts and "
        "clients, and injection alerts of the same time.",
    )
    sides: ClassVar[tuple[str, ...]] = ("output",)
    fractions: ClassVar[tuple[float, ...]] = (0.05, 0.3)
    tails: ClassVar[Mapping[str, int]] = {TOOL_CALLS: 2} | dict.fromkeys(_BUCKETS, 1)

    def update_many(self, observations: Sequence[Observation]) -> Finding | None:
        """Process one bucket of time; see `StreamDetector.update_many`."""
        blank = dict.fromkeys(_BUCKETS, 0.0)
        return super().update_many(
            [
                msgspec.structs.replace(observation, features=blank | observation.features)
                for observation in observations
                if TOOL_CALLS in observation.features
            ]
        )
