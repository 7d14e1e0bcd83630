"""The verdict of one version on one event: read from the log, or computed now.

Flips are decisions that differ only because a score was rounded near the threshold of the version or of the tenant.
"""

from stream.replay.report import Flip
from stream.replay.versions import Version
from stream.stages.score.machine import verdict
from stream.stages.score.model_pool import Outcome
from stream.stages.score.model_process import Scored
from stream.wire import Event, Verdict

#: Two scorings of one text can differ by rounding, which depends on the batch: so near the threshold a decision can
#: flip.
ROUNDING = 0.001


def version_verdict(
    version: Version, event: Event, recorded: Verdict | None, outcome: Outcome | None
) -> Verdict | None:
    """Return the verdict of `version` on `event`; None if the version is ``recorded`` and the log has no verdict."""
    if version.recorded:
        return recorded
    scored = outcome if isinstance(outcome, Scored) else Scored()
    return verdict(event, version.detector, version.version, scored.scores.get(version.name))


def flip(version: Version, recorded: Verdict, scored: Verdict, *, alert_threshold: float = 0.0) -> Flip | None:
    """Return the flip if only rounding makes the decision of `version` differ from the recorded decision, else None.

    The decision is whether the verdict is flagged, and whether its score is at least `alert_threshold`, the tenant's threshold. For a flip,
    both scores are within 0.001 of the threshold that decides, and the recorded score leads to the recorded decision at this threshold. A
    decision that differs because a variant has another threshold is no flip. The verdicts can name different parts: rounding also decides
    which of two parts has the higher score.
    """
    if "error" in (recorded.label, scored.label):
        return None
    if recorded.flagged != scored.flagged:
        limit = version.threshold
        if limit is None or (recorded.score >= limit) != recorded.flagged:
            return None
    elif recorded.flagged and (recorded.score >= alert_threshold) != (scored.score >= alert_threshold):
        limit = alert_threshold
    else:
        return None
    if max(abs(recorded.score - limit), abs(scored.score - limit)) > ROUNDING:
        return None
    return Flip(
        request_id=recorded.request_id,
        tenant=recorded.tenant,
        model=recorded.model,
        side=recorded.side,
        recorded=recorded.score,
        scored=scored.score,
        threshold=limit,
        recorded_part=recorded.part,
        scored_part=scored.part,
    )
