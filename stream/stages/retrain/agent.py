"""The retraining agent: reads alerts and the progress of requests, and publishes retraining decisions."""

import asyncio
import logging
from functools import partial
from typing import Any

import msgspec
from aiokafka.structs import TopicPartition

from stream.kafka.admin import group_offsets
from stream.kafka.time_ranges import data_range
from stream.stages.retrain.machine import Retraining, observe
from stream.stages.retrain.records import RETRAIN_SOURCE, Decision, pinned_versions, retraining_event
from stream.stages.retrain.state import AlertsHalf, ModelState, RequestsHalf, decode, half_key, model_key
from stream.stages.shared.spans import mark
from stream.stages.shared.stage import TableStage
from stream.stages.shared.state_codec import encode
from stream.wire import (
    OWN_TENANT,
    AlertRecord,
    Event,
    RetrainingRecord,
    partition_for,
    tenant_model_key,
)
from stream.wire.semconv import WEIR_ALERT_ID, WEIR_RETRAINING_ID, WEIR_TENANT

logger = logging.getLogger(__name__)
#: States by (tenant, model).
_Models = dict[str, ModelState]


class RetrainStage(TableStage):
    """Turns alerts and retraining records into decisions; its table has the same partitions as both topics."""

    name = "retrain"

    async def _apply(self, models: _Models, event: Event, raw: Any) -> dict[str, Any]:
        key, state = _state_of(models, event)
        if state is None:
            return {}
        offset = raw.message.offset
        decide = partial(self._decide, state, event, offset)
        decision = await self._context.guarded(raw, self.name, decide, None)
        if decision is not None:
            await self._publish(decision)
        half = state.requests if isinstance(event.data, RetrainingRecord) else state.alerts
        return {half_key(key, half): half} if half.offset == offset else {}

    def _decide(self, state: ModelState, event: Event, offset: int) -> Decision | None:
        machine = Retraining(self._context.tenants(state.tenant))
        if isinstance(event.data, RetrainingRecord):
            machine.progress(state.requests, event.data, offset)
            return None
        return machine.alert(state, event, offset)

    async def _publish(self, decision: Decision) -> None:
        record, kafka = decision.record, self._context.kafka
        if decision.since is not None and decision.until is not None:
            find = partial(
                data_range,
                kafka.client_options(),
                partitions=kafka.partitions,
                since=decision.since,
                until=decision.until,
                progress=self._app.progress,
            )
            topics = kafka.names.inference, kafka.names.verdicts, kafka.names.feedback
            data, *pins = await asyncio.gather(*map(find, topics))
            versions = pinned_versions(self._context.tenants(record.tenant))
            record = msgspec.structs.replace(record, data=data, pins=tuple(pins), versions=versions)
        event = retraining_event(
            record,
            source=RETRAIN_SOURCE,
            causationid=decision.cause,
            correlationid=decision.request_id,
            traceparent=self._span(decision),
        )
        await self._context.publish(
            kafka.names.retraining, event, partition_for(event.partitionkey, kafka.stream_partitions)
        )
        self._context.metrics.retraining.labels(record.state).inc()
        # Most openings of an alert end in a suppressed event; `weir retraining` prints them.
        level = logging.DEBUG if record.state == "suppressed" else logging.INFO
        logger.log(
            level,
            "retraining %s %s: tenant %s, model %s, %s",
            record.retraining_id,
            record.state,
            record.tenant,
            record.model,
            record.reason,
        )

    def _span(self, decision: Decision) -> str:
        attributes = {
            WEIR_RETRAINING_ID: decision.record.retraining_id,
            WEIR_ALERT_ID: decision.cause,
            WEIR_TENANT: decision.record.tenant,
            "weir.retraining.reason": decision.record.reason,
        }
        name = f"retraining {decision.record.state}"
        return mark(self._context.tracer, name, decision.traceparent, decision.links, attributes)

    async def _load(self, partition: int, offset: int) -> _Models:
        del offset  # two topics share the partition: their offsets are in the states
        halves, unreadable = self._table.read(partition, decode)
        names = self._context.names
        for topic, kind in ((names.alerts, AlertsHalf), (names.retraining, RequestsHalf)):
            offsets = (half.offset for half in halves.values() if isinstance(half, kind))
            await self._context.check_log(self._table, topic, partition, offsets)
        models: _Models = {}
        for key, half in halves.items():
            state = _model(models, model_key(key))
            if isinstance(half, AlertsHalf):
                state.alerts = half
            else:
                state.requests = half
        if lost := {model_key(key) for key in unreadable}:
            models |= await self._rebuilt(partition, lost)
            for key in lost:
                for half in (models[key].alerts, models[key].requests):
                    await self._table.put(half_key(key, half).encode(), encode(half), partition=partition)
        return models

    async def _rebuilt(self, partition: int, lost: set[str]) -> _Models:
        """Rebuild the states of the models in `lost` from the retained alerts and the retained retraining records.

        The alerts before the committed offset cause no decision: these decisions are among the retraining records, which
        are read to their present end. Kafka delivers the later alerts to the stage, which decides and publishes.
        """
        models = {key: _model({}, key) for key in lost}
        group, options, names = self._app.conf.id, self._context.kafka.client_options(), self._context.names
        committed = (await group_offsets(options, [group]))[group]
        ends = {names.retraining: await self._context.end(names.retraining, partition)}
        ends[names.alerts] = committed.get(TopicPartition(names.alerts, partition), 0)

        def apply(event: Event, offset: int) -> None:
            _, state = _state_of(models, event, lost)
            if state is not None and isinstance(event.data, AlertRecord):
                observe(state.alerts, event, offset)
            elif state is not None:
                self._decide(state, event, offset)

        for topic, end in ends.items():
            await self._context.rebuild(topic, partition, range(end), apply)
        return models


def _model(models: _Models, key: str) -> ModelState:
    """Return the state of model `key` in `models`; add an empty one if there is none."""
    if key not in models:
        tenant, _, model = key.partition("\x1f")
        models[key] = ModelState(tenant=tenant, model=model)
    return models[key]


def _state_of(models: _Models, event: Event, only: set[str] | None = None) -> tuple[str, ModelState | None]:
    """Return (key, state) of the event's model; the state is None if the tenant is Weir's or `only` lacks the key."""
    data = event.data
    if not isinstance(data, AlertRecord | RetrainingRecord) or data.tenant == OWN_TENANT:
        return "", None
    key = tenant_model_key(data.tenant, data.model)
    if only is not None and key not in only:
        return key, None
    return key, _model(models, key)
