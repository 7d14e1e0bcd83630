"""Spans of the loop: a child of the retraining request's span for each state that the trainer or delivery publishes."""

from opentelemetry.trace import Tracer

from stream.stages.shared.spans import mark
from stream.wire import RetrainingRecord, RouteRecord
from stream.wire.semconv import (
    GEN_AI_REQUEST_MODEL,
    WEIR_MODEL_VERSION,
    WEIR_RETRAINING_ID,
    WEIR_ROUTE_EPOCH,
    WEIR_TENANT,
)

_NUMBERS = "weir.retraining."


def mark_state(tracer: Tracer, record: RetrainingRecord, parent: str) -> str:
    """Create the span ``retraining STATE``, with ids and numbers only, as a child of the traceparent `parent`.

    Returns the traceparent of the span, or `parent` if no span is recorded.
    """
    attributes: dict[str, str | float] = {
        WEIR_RETRAINING_ID: record.retraining_id,
        WEIR_TENANT: record.tenant,
        GEN_AI_REQUEST_MODEL: record.model,
        WEIR_MODEL_VERSION: record.model_version,
    }
    numbers = {_NUMBERS + name: value for name, value in record.numbers.items()}
    return mark(tracer, f"retraining {record.state}", parent, (), attributes | numbers) or parent


def mark_route(tracer: Tracer, route: RouteRecord, parent: str) -> str:
    """Create the span ``route``, with ids and numbers only, as a child of the traceparent `parent` ("": a new trace).

    Returns the traceparent of the span, or `parent` if no span is recorded.
    """
    attributes: dict[str, str | float] = {
        WEIR_RETRAINING_ID: route.retraining_id,
        WEIR_TENANT: route.tenant,
        GEN_AI_REQUEST_MODEL: route.model,
        WEIR_MODEL_VERSION: route.champion,
        WEIR_ROUTE_EPOCH: route.epoch,
        "weir.route.champion_percent": route.weights.get(route.champion, 0),
    }
    return mark(tracer, "route", parent, (), attributes) or parent
