"""The retraining agent: publish the decision, write the state, acknowledge."""

import logging
from functools import partial
from typing import Any

import msgspec
from aiokafka.structs import TopicPartition

from stream.kafka.admin import group_offsets
from stream.kafka.range_reader import retained
from stream.kafka.time_ranges import data_range
from stream.runtime.table import AckedTable
from stream.stages.retrain.machine import Decision, Retraining
from stream.stages.retrain.state import ModelState, decode, encode
from stream.stages.shared.spans import mark
from stream.stages.shared.stage import PartitionCache, StageContext
from stream.wire import OWN_TENANT, AlertRecord, Event, RetrainingRecord, partition_for, tenant_model_key
from stream.wire.semconv import WEIR_ALERT_ID, WEIR_RETRAINING_ID, WEIR_TENANT

__all__ = ["RETRAIN_SOURCE", "RetrainStage"]

logger = logging.getLogger(__name__)
_STAGE = "retrain"
RETRAIN_SOURCE = "weir/retrain"
_Place = dict[str, ModelState]


class RetrainStage:
    """Alerts, and the fate of requests, to retraining decisions.

    Parameters
    ----------
    context
        The app and what belongs to it.
    table
        Partitioned like alerts.
    """

    def __init__(self, context: StageContext, table: AckedTable) -> None:
        self._context = context
        self._app = context.app
        self._table = table
        self._cache = PartitionCache(self._load)

    async def handle(self, batch: list[Any]) -> None:
        """Take raw events of alerts and retraining, in order."""
        current = [raw for raw in batch if self._app.is_current(raw)]
        touched: dict[str, tuple[ModelState, Any]] = {}
        for raw in current:
            place = await self._cache.get(raw)
            event = await self._context.read(raw, _STAGE)
            if event is not None and isinstance(event.data, AlertRecord | RetrainingRecord):
                await self._event(place, event, raw, touched)
        for key, (state, raw) in touched.items():
            if self._app.is_current(raw):
                await self._table.put(key.encode(), encode(state), partition=raw.message.partition)
        for raw in current:
            self._app.settle(raw)

    async def _event(self, place: _Place, event: Event, raw: Any, touched: dict[str, tuple[ModelState, Any]]) -> None:
        state = _state_of(place, event)
        if state is None:
            return
        topic, offset = raw.message.topic, raw.message.offset
        decision = await self._context.guarded(raw, _STAGE, partial(self._apply, state, event, topic, offset), None)
        if state.offsets.get(topic) == offset:
            touched[tenant_model_key(state.tenant, state.model)] = (state, raw)
        if decision is not None:
            await self._publish(decision)

    def _apply(self, state: ModelState, event: Event, topic: str, offset: int) -> Decision | None:
        stage = Retraining(self._context.tenants(state.tenant))
        if isinstance(event.data, RetrainingRecord):
            stage.progress(state, event.data, topic, offset)
            return None
        return stage.alert(state, event, topic, offset)

    async def _publish(self, decision: Decision) -> None:
        record = decision.record
        if decision.since is not None and decision.until is not None:
            kafka = self._context.kafka
            data = await data_range(
                kafka.client_options(), kafka.names.inference, kafka.partitions, decision.since, decision.until
            )
            record = msgspec.structs.replace(record, data=data)
        key = tenant_model_key(record.tenant, record.model)
        event = Event(
            id=record.retraining_id,
            source=RETRAIN_SOURCE,
            type=RetrainingRecord.event_type,
            time=record.at,
            data=record,
            subject=record.retraining_id,
            correlationid=decision.request_id,
            causationid=decision.cause,
            traceparent=self._span(decision),
            partitionkey=key,
        )
        await self._context.publish(
            self._context.names.retraining, event, partition_for(key, self._context.kafka.stream_partitions)
        )
        self._context.metrics.retraining.labels(record.state).inc()
        logger.info("retraining %s %s", record.retraining_id, record.state)

    def _span(self, decision: Decision) -> str:
        attributes = {
            WEIR_RETRAINING_ID: decision.record.retraining_id,
            WEIR_ALERT_ID: decision.cause,
            WEIR_TENANT: decision.record.tenant,
            "weir.retraining.reason": decision.record.reason,
        }
        name = f"retraining {decision.record.state}"
        return mark(self._context.tracer, name, decision.traceparent, decision.links, attributes)

    async def _load(self, partition: int, _offset: int) -> _Place:
        place, lost = self._table.read(partition, decode)
        if lost:
            place |= await self._rebuilt(partition, lost)
        return place

    async def _rebuilt(self, partition: int, lost: set[str]) -> _Place:
        """Replay what alerts and retraining retain for `lost`; the requests that were made have the last word.

        Up to what is committed: what comes after is delivered, and may decide something that is to be published.
        """
        place: _Place = {}
        options = self._context.kafka.client_options()
        group = self._app.conf.id
        committed = (await group_offsets(options, [group]))[group]
        for topic in (self._context.names.alerts, self._context.names.retraining):
            end = committed.get(TopicPartition(topic, partition), 0)
            async for offset, event in retained(options, topic, partition, range(end), self._app.progress):
                state = _state_of(place, event) if _key_of(event) in lost else None
                if state is not None:
                    self._apply(state, event, topic, offset)
        return place


def _key_of(event: Event) -> str | None:
    data = event.data
    if not isinstance(data, AlertRecord | RetrainingRecord) or data.tenant == OWN_TENANT:
        return None
    return tenant_model_key(data.tenant, data.model)


def _state_of(place: _Place, event: Event) -> ModelState | None:
    """Return the state that `event` is about; None where it is about no model."""
    key, data = _key_of(event), event.data
    if key is None:
        return None
    assert isinstance(data, AlertRecord | RetrainingRecord)
    state = place.get(key)
    if state is None:
        state = place[key] = ModelState(tenant=data.tenant, model=data.model)
    return state
