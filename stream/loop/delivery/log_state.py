"""Delivery of all models, without Kafka: applies records of the log in event time, and returns the decisions.

Verdicts, and the ends of requests in signals, wait until the watermark has passed them; then they are applied in the order (time, id).
The watermark is computed from score's ticks on ``weir.verdicts`` and ``weir.signals``. So the decisions do not depend on the order between
partitions.
"""

import heapq
from collections.abc import Callable, Iterator

import msgspec

from detectors.streams.tool_mix import TOOL_CALLS
from stream.loop.delivery.machine import FAILURE, Delivery
from stream.loop.delivery.records import Decision
from stream.loop.delivery.state import DeliveryState, HeldVerdict, ModelDelivery
from stream.loop.settings import DeliverySettings
from stream.stages.watch.watermark import Watermark
from stream.wire import (
    Event,
    ModelRecord,
    RetrainingRecord,
    RouteRecord,
    Signal,
    Tick,
    Verdict,
    conversation_key,
    tenant_model_key,
)
from stream.wire.route_files import RouteOverride

_OUTPUT, _ERROR = "output", "error"
_CANCELLED, _COMPLETE = "cancelled", "complete"
#: A signal has one of these features if the answer has a text or a tool call.
_ANSWER = frozenset({"characters", TOOL_CALLS})


class DeliveryLog:
    """Applies events to `state`; `settings(tenant)` returns the rules of a tenant.

    `partitions` is the number of partitions of verdicts, `signal_partitions` the number of partitions of signals. The
    watermark waits `silence_seconds` (event time) for a source.
    """

    def __init__(
        self,
        state: DeliveryState,
        settings: Callable[[str], DeliverySettings],
        *,
        partitions: int,
        signal_partitions: int,
        silence_seconds: float,
    ) -> None:
        self.state = state
        self._settings = settings
        self._partitions = partitions
        # One lane for each partition of inference in verdicts, then one for each of them in each partition of signals.
        self._watermark = Watermark(partitions * (1 + signal_partitions), silence_seconds)
        if state.lanes:
            self._watermark.restore(state.lanes, state.watermark)
        self.counted = 0

    @property
    def routes(self) -> list[RouteRecord]:
        """The newest route of each model."""
        return [model.route for _, model in sorted(self.state.models.items()) if model.route is not None]

    def time(self, at: float) -> float:
        """Return the event time at which a record with time `at` takes effect: never before the watermark."""
        return max(at, self._watermark.value or 0.0)

    def apply(self, event: Event, signal_partition: int | None = None) -> list[Decision]:
        """Apply a record of retraining, models, verdicts, or of a partition of signals."""
        data = event.data
        if isinstance(data, RetrainingRecord):
            return self._delivery(data.tenant, data.model).progress(data, self.time(data.at), event.traceparent)
        if isinstance(data, RouteRecord):
            self._delivery(data.tenant, data.model).adopt(data, event.traceparent)
        elif isinstance(data, ModelRecord) and data.removed:
            return self._delivery(data.tenant, data.model).removed(data.version, self.time(data.at))
        elif isinstance(data, Verdict):
            self._hold(event, data, data.detector, event.partitionkey[:16], flagged=data.flagged)
        elif isinstance(data, Signal) and data.status and data.status != _CANCELLED:
            answered = data.status == _COMPLETE and not _ANSWER.isdisjoint(data.features)
            conversation = data.conversation or conversation_key(data.tenant, data.request_id)
            self._hold(event, data, FAILURE, conversation, flagged=not answered)
        elif isinstance(data, Tick) and 0 <= data.partition < self._partitions:
            lane = data.partition + self._partitions * (0 if signal_partition is None else 1 + signal_partition)
            if self._watermark.apply(msgspec.structs.replace(data, partition=lane)):
                return list(self._advance())
        return []

    def override(self, override: RouteOverride) -> list[Decision]:
        """Apply an operator's decision now."""
        at = self.time(override.at if self._watermark.value is None else 0.0)
        return self._delivery(override.tenant, override.model).override(override, at)

    def snapshot(self) -> bytes:
        """Return the state as bytes."""
        self.state.lanes, self.state.watermark = self._watermark.lanes, self._watermark.value
        return msgspec.msgpack.encode(self.state)

    def _hold(self, event: Event, data: Verdict | Signal, detector: str, conversation: str, *, flagged: bool) -> None:
        key = tenant_model_key(data.tenant, data.model)
        model = self.state.models.get(key)
        if data.side != _OUTPUT or model is None or model.canary is None:
            return
        version, is_error = data.model_version, isinstance(data, Verdict) and data.label == _ERROR
        # Not the event's id: during an update of a detector, an answer can have the verdicts of two versions.
        identity = f"{data.request_id}/{detector}"
        held = HeldVerdict(
            event.time, identity, conversation, key, detector, version, flagged, data.request_id, is_error
        )
        heapq.heappush(self.state.held, held)

    def _advance(self) -> Iterator[Decision]:
        """Apply the verdicts before the watermark, then the watermark as the time."""
        assert self._watermark.value is not None
        held = self.state.held
        while held and held[0].time < self._watermark.value:
            verdict = heapq.heappop(held)
            self.counted += 1
            yield from self._of(self.state.models[verdict.key]).verdict(verdict)
        for _, model in sorted(self.state.models.items()):
            yield from self._of(model).clock(self._watermark.value)

    def _delivery(self, tenant: str, model: str) -> Delivery:
        key = tenant_model_key(tenant, model)
        return self._of(self.state.models.setdefault(key, ModelDelivery(tenant=tenant, model=model)))

    def _of(self, model: ModelDelivery) -> Delivery:
        return Delivery(model, self._settings(model.tenant))
