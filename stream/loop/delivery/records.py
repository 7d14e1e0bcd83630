"""Builds the events of delivery: routes, and the states of a retraining request."""

import msgspec

from stream.stages.retrain.records import retraining_event
from stream.wire import Event, RetrainingRecord, RouteRecord, tenant_model_key
from stream.wire.ids import route_id

DELIVERY_SOURCE = "weir/delivery"


class Decision(msgspec.Struct, frozen=True, kw_only=True):
    """A new route, and the state of the retraining request that caused it (None for a route without a request).

    `traceparent` is the trace context of the cause.
    """

    route: RouteRecord
    progress: RetrainingRecord | None = None
    traceparent: str = ""


def route_event(route: RouteRecord, traceparent: str = "") -> Event:
    """Return the event of `route`, created in the trace context `traceparent`; its id depends only on tenant, model and epoch."""
    return Event(
        id=route_id(route.tenant, route.model, route.epoch),
        source=DELIVERY_SOURCE,
        type=RouteRecord.event_type,
        time=route.at,
        data=route,
        subject=route.retraining_id,
        causationid=route.retraining_id,
        traceparent=traceparent,
        partitionkey=tenant_model_key(route.tenant, route.model),
    )


def progress_event(record: RetrainingRecord, route: RouteRecord, traceparent: str = "") -> Event:
    """Return the event of the request's state at `route`, created in the trace context `traceparent`.

    Its id depends on the request, the state and the route's epoch.
    """
    return retraining_event(
        record,
        source=DELIVERY_SOURCE,
        name=f"{record.state}/{route.epoch}",
        causationid=route_id(record.tenant, record.model, route.epoch),
        traceparent=traceparent,
    )
