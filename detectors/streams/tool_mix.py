"""Tool-mix detector: compares which tools the answers call with their own history, by the test of the anomaly detector.

The names of the tools are not known in advance, so each name is one of 32 features by its hash. A new tool, or a tool that is
called more often, raises its feature. Answers without a tool call are ignored. If the observations contain the names of the
called tools, an alarm contains the names of the leading feature.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import ClassVar

import msgspec

from detectors.base import AlertText, Finding, Observation
from detectors.streams.anomaly import AnomalyDetector

#: Feature: number of tool calls of an answer.
TOOL_CALLS = "tool_calls"
#: Prefixes of the features, and of the details of a finding, that name a tool.
NAMED_TOOL = "tool:"
#: A name that OpenAI's API accepts; maximum numbers of named tools of an answer and of a finding.
_NAME = re.compile(r"[A-Za-z0-9_.-]{1,64}")
_MAX_NAMES, _SHOWN_NAMES = 16, 3
_BUCKETS = tuple(f"tool_bucket_{number:02}" for number in range(32))


def tool_features(names: Iterable[str], named: Collection[str] = ()) -> dict[str, float]:
    """Return the features of an answer that calls the tools `names`: the number of calls, and 1 for the bucket of each name.

    Buckets without a called tool are absent; without a call the result is empty. The first 16 called tools that are in `named` are features
    with their names, which `ToolMixDetector` does not test.
    """
    called = list(names)
    if not called:
        return {}
    shown = [name for name in dict.fromkeys(called) if name in named and _NAME.fullmatch(name)]
    return (
        {TOOL_CALLS: float(len(called))}
        | {_bucket(name): 1.0 for name in called}
        | {NAMED_TOOL + name: 1.0 for name in shown[:_MAX_NAMES]}
    )


def _bucket(name: str) -> str:
    digest = hashlib.blake2b(name.encode(errors="replace"), digest_size=8, person=b"weir-tools").digest()
    return _BUCKETS[int.from_bytes(digest, "big") % len(_BUCKETS)]


class ToolMixDetector(AnomalyDetector):
    """Detector that tests the share of answers that call each group of tools, and the number of calls; see `AnomalyDetector`.

    Only answers with tool calls count as events, for the alarm budget too.
    """

    name: ClassVar[str] = "tool_mix"
    version: ClassVar[str] = "5"
    alert: ClassVar[AlertText] = AlertText(
        subject="tool mix",
        runbook="Compare the tool calls of the evidence with older requests (`weir show ID --text`); check new tools and clients, "
        "and injection alerts.",
    )
    sides: ClassVar[tuple[str, ...]] = ("output",)
    fractions: ClassVar[tuple[float, ...]] = (0.05, 0.3)
    tails: ClassVar[Mapping[str, int]] = {TOOL_CALLS: 2} | dict.fromkeys(_BUCKETS, 1)

    def reads(self, observation: Observation) -> bool:
        """Return whether the answer has tool calls; see `StreamDetector.reads`."""
        return TOOL_CALLS in observation.features

    def update_many(self, observations: Sequence[Observation]) -> Finding | None:
        """Process one bucket of time; see `StreamDetector.update_many`.

        The details of an alarm have the named tools of its feature that most answers of the bucket called, with the number of these answers.
        """
        blank = dict.fromkeys(_BUCKETS, 0.0)
        calling = [observation for observation in observations if self.reads(observation)]
        finding = super().update_many(
            [msgspec.structs.replace(observation, features=blank | observation.features) for observation in calling]
        )
        if finding is None or not finding.alarm:
            return finding
        names = Counter(
            feature
            for observation in calling
            for feature in observation.features
            if feature.startswith(NAMED_TOOL) and _bucket(feature.removeprefix(NAMED_TOOL)) == finding.feature
        )
        named = {feature: float(count) for feature, count in names.most_common(_SHOWN_NAMES)}
        return msgspec.structs.replace(finding, details=finding.details | named)
