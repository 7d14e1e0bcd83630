"""Select the retraining request that a trainer works on: a pure function of ``weir.retraining`` and the time."""

from collections.abc import Callable

import msgspec

from stream.loop.settings import LoopSettings
from stream.wire import RetrainingRecord

#: The states that a trainer publishes while it owns a request.
OWNED = frozenset({"dataset", "started", "progress", "trained"})


class Work(msgspec.Struct, frozen=True, kw_only=True):
    """A request to work on, as its owner in `epoch`; an earlier owner made `dataset_digest` and `model_version`.

    `traceparent` is the trace context of the request.
    """

    request: RetrainingRecord
    epoch: int
    traceparent: str = ""
    dataset_digest: str = ""
    model_version: str = ""


class _Request(msgspec.Struct, kw_only=True):
    """A request: its work, whose epoch is 0 until a trainer owns it, and its newest record."""

    work: Work
    last: RetrainingRecord


class TrainerMachine:
    """The requests in the records that :meth:`apply` has read; `settings` returns the settings of a tenant."""

    def __init__(self, settings: Callable[[str], LoopSettings]) -> None:
        self._settings = settings
        self._requests: dict[str, _Request] = {}

    def apply(self, record: RetrainingRecord, traceparent: str = "") -> None:
        """Apply a record, created in the trace context `traceparent`.

        Records of a former owner, whose epoch is lower, and records after a rejection are ignored.
        """
        known = self._requests.get(record.retraining_id)
        if known is None:
            if record.state == "requested":
                work = Work(request=record, epoch=0, traceparent=traceparent)
                self._requests[record.retraining_id] = _Request(work=work, last=record)
            return
        if record.state == "requested" or known.last.state == "rejected":
            return
        # Approvals and the states of delivery have no epoch.
        if record.epoch < known.work.epoch and (record.epoch or record.state in OWNED):
            return
        known.last = record
        known.work = msgspec.structs.replace(
            known.work,
            epoch=max(known.work.epoch, record.epoch),
            dataset_digest=record.dataset_digest or known.work.dataset_digest,
            model_version=record.model_version or known.work.model_version,
        )

    def must_end(self, work: Work) -> bool:
        """Return whether the run of `work` must end: its request was rejected, or another trainer owns it."""
        known = self._requests.get(work.request.retraining_id)
        return known is not None and (known.last.state == "rejected" or known.work.epoch > work.epoch)

    def state(self, retraining_id: str) -> str:
        """Return the newest state of a request; "" if the request is unknown."""
        known = self._requests.get(retraining_id)
        return known.last.state if known else ""

    def lease_until(self, retraining_id: str) -> float:
        """Return the end of the lease of the trainer that works on a request; 0 if none does."""
        known = self._requests.get(retraining_id)
        return (known.last.lease_until or 0.0) if known and known.last.state in OWNED else 0.0

    def next(self, now: float) -> Work | None:
        """Return the oldest request that waits for a trainer, or whose trainer's lease ended before `now`.

        Of a model's requests that nobody approved, only the newest waits: `mode` may have become "auto" after many requests.
        """
        ordered = sorted(self._requests.values(), key=lambda one: (one.work.request.at, one.work.request.retraining_id))
        newest = {(one.work.request.tenant, one.work.request.model): one for one in ordered}
        for known in ordered:
            request = known.work.request
            is_newest = newest[request.tenant, request.model] is known
            if self._waits(known, now) and (is_newest or known.last.state != "requested"):
                return self.work_on(request.retraining_id)
        return None

    def work_on(self, retraining_id: str) -> Work | None:
        """Return the work on one request in any state, or None if the request is unknown."""
        known = self._requests.get(retraining_id)
        return msgspec.structs.replace(known.work, epoch=known.work.epoch + 1) if known else None

    def _waits(self, known: _Request, now: float) -> bool:
        last, settings = known.last, self._settings(known.work.request.tenant)
        if last.state == "requested":
            return settings.mode == "auto"
        if last.state == "approved":
            return settings.mode != "propose" and (not settings.approvers or last.by in settings.approvers)
        # An external trainer publishes no lease, so no other trainer takes over its request.
        return last.state in OWNED and last.lease_until is not None and last.lease_until < now
