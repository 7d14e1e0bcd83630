"""A replay of one event whose new score differs from the recorded score by rounding, near a threshold."""

import asyncio

import pytest
from support.ledger_log import request, verdict
from support.replay_log import NAMES, START, MemoryLog, P, plan_of, request_of, ticked

from stream.replay.alert_diff import compare
from stream.replay.progress import ProgressMeter
from stream.replay.text_replay import TextReplay, TextScoring
from stream.replay.versions import Version
from stream.stages.score.event_parts import EventScore
from stream.stages.score.model_process import Scored

LIMIT = 0.82
INSTALLED = Version(detector="toxicity", label="installed", version="12", threshold=LIMIT)
RECORDED = Version(detector="toxicity", label="recorded")


def decided(score):
    return {"score": score, "label": "toxic" if score >= LIMIT else "ok", "flagged": score >= LIMIT}


class FixedScorer:
    def __init__(self, score):
        self._scored = Scored(scores={INSTALLED.name: EventScore(**decided(score))})

    async def score(self, items, deliver):
        for row, _ in enumerate(items):
            deliver(row, self._scored)


def replayed(recorded, scored, tenant_threshold):
    """Return the diff of the installed version against the recorded version, and the flips."""
    event = request("r1", START + 1, owed=("toxicity",))
    rest = [[] for _ in range(P - 1)]
    log = MemoryLog(
        {
            NAMES.inference: ticked([[event], *rest]),
            NAMES.verdicts: [[verdict(event, "toxicity", **decided(recorded))], *rest],
        }
    )
    alerts = {} if tenant_threshold is None else {"threshold": {"toxicity": tenant_threshold}}
    plan = plan_of(request_of(INSTALLED, RECORDED), {event.data.tenant: {"alerts": alerts}})
    scoring = TextScoring(FixedScorer(scored), 1, 1)
    results = asyncio.run(TextReplay(plan, log.reader(), scoring, None, ProgressMeter(0)).run())
    return compare(*results.alerts, windows=3, counts=lambda _: True), results.flips


@pytest.mark.parametrize(
    ("tenant_threshold", "recorded", "scored", "threshold", "alerts"),
    [
        (None, 0.8203, 0.8198, LIMIT, 1),
        (LIMIT, 0.8203, 0.8198, LIMIT, 1),
        (0.9, 0.9003, 0.8998, 0.9, 1),
        (0.9, 0.8998, 0.9003, 0.9, 0),
    ],
)
def test_rounding_at_a_threshold_of_the_version_or_of_the_tenant_is_a_flip(
    tenant_threshold, recorded, scored, threshold, alerts
):
    diff, flips = replayed(recorded, scored, tenant_threshold)
    assert (diff.empty, diff.unchanged) == (True, alerts)
    (one,) = flips.events
    assert (one.recorded, one.scored, one.threshold) == (recorded, scored, threshold)


@pytest.mark.parametrize(
    ("recorded", "scored", "appeared", "vanished"), [(0.9003, 0.898, 0, 1), (0.85, 0.9003, 1, 0), (0.9003, 0.95, 0, 0)]
)
def test_a_larger_difference_at_the_threshold_of_the_tenant_is_no_flip(recorded, scored, appeared, vanished):
    diff, flips = replayed(recorded, scored, 0.9)
    assert (len(diff.appeared), len(diff.vanished), flips.total) == (appeared, vanished, 0)


def test_scores_that_no_alert_counts_are_no_flip():
    diff, flips = replayed(0.8503, 0.8498, 0.9)
    assert (diff.empty, diff.unchanged, flips.total) == (True, 0, 0)
