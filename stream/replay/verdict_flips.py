"""What two versions say of one event: the recorded verdict, a fresh one, or one of each at a threshold."""

from stream.replay.report import Flip
from stream.replay.versions import Version
from stream.stages.score.model_pool import Outcome
from stream.stages.score.model_process import Scored
from stream.stages.score.records import verdict
from stream.wire import Event, Verdict

__all__ = ["NEAR", "flip", "said"]

#: Two scorings of one text may differ with the batch; so near to the threshold its decision may flip (design.md, decision 8).
NEAR = 0.001


def said(version: Version, event: Event, recorded: Verdict | None, outcome: Outcome | None) -> Verdict | None:
    """Return the verdict of `version` on `event`; None where it is the log's and the log has none."""
    if version.recorded:
        return recorded
    scored = outcome if isinstance(outcome, Scored) else Scored()
    return verdict(event, version.detector, version.version, scored.scores.get(version.name))


def flip(version: Version, recorded: Verdict, fresh: Verdict) -> Flip | None:
    """Return the flip where `version` decides otherwise than was recorded, and the last bits of a score are why.

    They are where both scores are within .001 of its threshold and it would have decided on the recorded score as was recorded:
    a variant with another threshold decides otherwise because of that, and that is no flip.
    """
    limit = version.threshold
    if limit is None or recorded.flagged == fresh.flagged or "error" in (recorded.label, fresh.label):
        return None
    if (
        max(abs(recorded.score - limit), abs(fresh.score - limit)) > NEAR
        or (recorded.score >= limit) != recorded.flagged
    ):
        return None
    return Flip(
        request_id=recorded.request_id,
        tenant=recorded.tenant,
        model=recorded.model,
        side=recorded.side,
        recorded=recorded.score,
        scored=fresh.score,
        threshold=limit,
    )
