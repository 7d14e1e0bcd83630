"""Join the stored parts of an exchange."""

import msgspec

from serving.intake.reported_exchange import EVENT, SPAN, ReportedExchange

__all__ = ["is_complete", "joined"]


def is_complete(halves: list[ReportedExchange]) -> bool:
    """Return whether `halves` are a whole exchange: both halves, or a span, its prompt and the choices that it announces.

    Exports of log records can overtake each other, so the choices do not show that the prompt has arrived.
    """
    spans = [half for half in halves if half.fragment == SPAN]
    if not any(half.fragment for half in halves):
        return len(halves) == 2
    if not spans:
        return False
    if any(half.fragment == EVENT for half in halves):
        return True
    asked = any(half.request.messages for half in halves if half.request is not None)
    choices = sum(len(half.response.choices) for half in halves if half.response is not None)
    return asked and choices >= spans[0].expected_choices


def joined(halves: list[ReportedExchange]) -> ReportedExchange:
    """Return the exchange of `halves`, in the order of their arrival; if there is a span, names, times and counts are from the span."""
    ordered = sorted(halves, key=lambda half: half.fragment != SPAN)
    requests = [half.request for half in ordered if half.request is not None]
    responses = [half.response for half in ordered if half.response is not None]
    request = response = None
    if requests:
        messages = tuple(message for part in requests for message in part.messages)
        tools = next((part.tools for part in requests if part.tools), ())
        training = all(part.training for part in requests)
        request = msgspec.structs.replace(requests[0], messages=messages, tools=tools, training=training)
    if responses:
        choices = tuple(choice for part in responses for choice in part.choices)
        response = msgspec.structs.replace(responses[0], choices=choices)
    return msgspec.structs.replace(ordered[0], request=request, response=response)
