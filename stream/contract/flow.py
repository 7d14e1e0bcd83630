"""Who writes and who reads which event on which topic, as data: the table of the flow."""

from typing import NamedTuple

from stream.wire import ABORTED_TYPE, TopicNames
from stream.wire import events as wire

__all__ = ["CHANNELS", "FLOW", "KEYS", "Channel", "Step", "channel_messages"]

DEAD_LETTER = "weir.dead.letter"

_REQUEST = wire.RequestRecord.event_type
_RESPONSE = wire.ResponseRecord.event_type
_GAP = wire.GapRecord.event_type
_TICK = wire.Tick.event_type
_CLOSED = wire.Closed.event_type
_VERDICT = wire.Verdict.event_type
_EXPLANATION = wire.ExplanationRecord.event_type
_SIGNAL = wire.Signal.event_type
_FINDING = wire.FindingRecord.event_type
_SENTINEL = wire.SentinelRecord.event_type
_ALERT = wire.AlertRecord.event_type
_SILENCE = wire.SilenceRecord.event_type
_RETRAINING = wire.RetrainingRecord.event_type
_FEEDBACK = wire.Feedback.event_type

_OF_REQUEST = "SHA-256 in hex over tenant, U+001F, and the conversation id or else the request id."
_OF_STREAM = "Tenant, model and side, joined by U+001F."

#: What the key of a record is, by event type; "" where it has none, and its partition is chosen by its writer.
KEYS = {
    _REQUEST: _OF_REQUEST,
    _RESPONSE: _OF_REQUEST,
    ABORTED_TYPE: _OF_REQUEST,
    _GAP: "The source whose records are counted.",
    _TICK: "",
    _CLOSED: "",
    _VERDICT: "The key of the event that it is about.",
    _EXPLANATION: "The key of the event that it is about.",
    _SIGNAL: _OF_STREAM,
    _FINDING: _OF_STREAM,
    _SENTINEL: "",
    _ALERT: "The alert's id. The partition is that of tenant and model, joined by U+001F.",
    _SILENCE: "The silence's id. The partition is that of the alerts that it mutes.",
    _RETRAINING: "Tenant and model, joined by U+001F.",
    _FEEDBACK: "The key of the request that it judges.",
    DEAD_LETTER: "The key of the record as it was.",
}


class Channel(NamedTuple):
    """A topic: its attribute of :class:`~stream.wire.topics.TopicNames`, and what it is for."""

    name: str
    description: str


CHANNELS = tuple(
    Channel(name, str(getattr(TopicNames, name).__doc__))
    for name in (
        "inference",
        "verdicts",
        "signals",
        "findings",
        "alerts",
        "retraining",
        "feedback",
        "dead_letters",
        "replay",
    )
)


class Step(NamedTuple):
    """`who` sends to, or receives from, a channel; `messages` are event types."""

    who: str
    action: str
    channel: str
    messages: tuple[str, ...]


_INFERENCE = (_REQUEST, _RESPONSE, ABORTED_TYPE, _GAP, _TICK, _CLOSED)
_LETTERS = (DEAD_LETTER,)

FLOW = (
    Step("shipper", "send", "inference", _INFERENCE),
    Step("shipper", "send", "feedback", (_FEEDBACK,)),
    Step("score", "receive", "inference", _INFERENCE),
    Step("score", "send", "verdicts", (_VERDICT, _EXPLANATION, _TICK)),
    Step("score", "send", "signals", (_SIGNAL, _TICK)),
    Step("score", "send", "findings", (_FINDING,)),
    Step("score", "send", "dead_letters", _LETTERS),
    Step("watch", "receive", "signals", (_SIGNAL, _TICK)),
    Step("watch", "send", "findings", (_FINDING, _TICK, _SENTINEL)),
    Step("watch", "receive", "findings", (_FINDING, _TICK, _SENTINEL)),
    Step("watch", "send", "alerts", (_ALERT,)),
    Step("watch", "receive", "alerts", (_ALERT, _SILENCE)),
    Step("watch", "send", "retraining", (_RETRAINING,)),
    Step("watch", "receive", "retraining", (_RETRAINING,)),
    Step("watch", "send", "dead_letters", _LETTERS),
    Step("ledger", "receive", "inference", _INFERENCE),
    Step("ledger", "receive", "verdicts", (_VERDICT, _EXPLANATION, _TICK)),
    Step("ledger", "receive", "feedback", (_FEEDBACK,)),
    Step("ledger", "receive", "alerts", (_ALERT, _SILENCE)),
    Step("ledger", "receive", "retraining", (_RETRAINING,)),
    Step("ledger", "send", "alerts", (_ALERT,)),
    Step("operator", "send", "alerts", (_SILENCE,)),
    Step("operator", "receive", "alerts", (_ALERT, _SILENCE)),
    Step("operator", "receive", "retraining", (_RETRAINING,)),
    Step("operator", "receive", "dead_letters", _LETTERS),
    Step("operator", "send", "dead_letters", _LETTERS),
    Step("operator", "send", "replay", (_FINDING, _ALERT)),
)


def channel_messages(channel: str) -> tuple[str, ...]:
    """Return the event types that stand on `channel`, in the order in which the flow names them."""
    named = [message for step in FLOW if step.channel == channel for message in step.messages]
    return tuple(dict.fromkeys(named))
