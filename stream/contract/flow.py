"""A table of the flow of events: the processes and modules that send or receive each event type, and the topics."""

from typing import NamedTuple

from stream import wire
from stream.wire import ABORTED_TYPE, TopicNames

DEAD_LETTER = "weir.dead.letter"

_REQUEST = wire.RequestRecord.event_type
_RESPONSE = wire.ResponseRecord.event_type
#: Version 1, which is read and no longer written.
_FORMER = (wire.RequestRecordV1.event_type, wire.ResponseRecordV1.event_type)
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
_LABEL = wire.LabelRecord.event_type
_CORRECTION = wire.CorrectionRecord.event_type
_MODEL = wire.ModelRecord.event_type
_ROUTE = wire.RouteRecord.event_type

_OF_REQUEST = "SHA-256 in hex over tenant, U+001F, and the conversation id, or the request id without a conversation."
_OF_JUDGMENT = "The key of its request. If the client did not name the conversation, the same hash with the request id."
_OF_STREAM = (
    "Tenant, model and side, joined by U+001F. With `drift_by_part`, the part group is the fourth field; for a version that Weir"
    ' trained, the fourth field is the part group or "", and the fifth the version.'
)

#: The key of a record by event type; "" if it has none and its producer selects the partition.
KEYS = {
    _REQUEST: _OF_REQUEST,
    _RESPONSE: _OF_REQUEST,
    ABORTED_TYPE: _OF_REQUEST,
    **dict.fromkeys(_FORMER, _OF_REQUEST),
    _GAP: "The source of the counted records.",
    _TICK: "",
    _CLOSED: "",
    _VERDICT: "The key of its event.",
    _EXPLANATION: "The key of its event.",
    _SIGNAL: _OF_STREAM,
    _FINDING: _OF_STREAM,
    _SENTINEL: "",
    _ALERT: "The alert id. The partition is that of tenant and model, joined by U+001F.",
    _SILENCE: "The silence id. The partition is that of the alerts that it mutes.",
    _RETRAINING: "Tenant and model, joined by U+001F.",
    _FEEDBACK: _OF_JUDGMENT,
    _LABEL: _OF_JUDGMENT,
    _CORRECTION: _OF_JUDGMENT,
    _MODEL: "Tenant, model and version, joined by U+001F. The partition is that of tenant and model.",
    _ROUTE: "Tenant and model, joined by U+001F.",
    DEAD_LETTER: "The key of the record.",
}


class Channel(NamedTuple):
    """A topic: its attribute of :class:`~stream.wire.topics.TopicNames`, and its purpose."""

    name: str
    description: str


CHANNELS = tuple(
    Channel(name, str(value.__doc__)) for name, value in vars(TopicNames).items() if isinstance(value, property)
)


class Step(NamedTuple):
    """A step of the flow: `process` sends the event types `messages` to `channel`, or receives them from it.

    `modules` are the modules with the code of this step.
    """

    process: str
    action: str
    channel: str
    messages: tuple[str, ...]
    modules: tuple[str, ...]


_CAPTURED = (_REQUEST, _RESPONSE, ABORTED_TYPE, _CORRECTION, _GAP, _TICK, _CLOSED)
_JUDGMENTS = (_FEEDBACK, _LABEL)
_INFERENCE = (*_CAPTURED, *_FORMER)
_VERDICTS = (_VERDICT, _EXPLANATION, _TICK)
_FINDINGS = (_FINDING, _TICK, _SENTINEL)
_ALERTS = (_ALERT, _SILENCE)
_LETTERS = (DEAD_LETTER,)

_WATCH, _ALERT_STAGE, _RETRAIN = (f"stream/stages/{name}" for name in ("watch", "alert", "retrain"))
_CLIENT, _OPERATE, _RESEND, _DEMO = (f"weir/{name}" for name in ("client", "operate", "dead_letters", "demo"))
_REPLAY = "stream/replay"
_DELIVERY = "stream/loop/delivery"
_DATASET, _ARCHIVE = "stream/loop/dataset", "stream/archive"
_TRAINING, _LINEAGE = "stream/loop/training", "stream/loop/lineage"

FLOW = (
    Step("shipper", "send", "inference", _CAPTURED, ("serving/capture",)),
    Step("shipper", "send", "feedback", _JUDGMENTS, ("serving/capture",)),
    Step("score", "receive", "inference", _INFERENCE, ("stream/stages/score",)),
    Step("score", "send", "verdicts", _VERDICTS, ("stream/stages/score",)),
    Step("score", "send", "signals", (_SIGNAL, _TICK), ("stream/stages/score",)),
    Step("score", "send", "findings", (_FINDING,), ("stream/stages/score",)),
    Step("score", "send", "dead_letters", _LETTERS, ("stream/stages/score",)),
    Step("watch", "receive", "signals", (_SIGNAL, _TICK), (_WATCH,)),
    Step("watch", "send", "findings", _FINDINGS, (_WATCH,)),
    Step("watch", "receive", "findings", _FINDINGS, (_ALERT_STAGE,)),
    Step("watch", "send", "alerts", (_ALERT,), (_ALERT_STAGE,)),
    Step("watch", "receive", "alerts", _ALERTS, (_RETRAIN,)),
    Step("watch", "receive", "inference", _INFERENCE, (_RETRAIN,)),
    Step("watch", "receive", "verdicts", _VERDICTS, (_RETRAIN,)),
    Step("watch", "receive", "feedback", _JUDGMENTS, (_RETRAIN,)),
    Step("watch", "send", "retraining", (_RETRAINING,), (_RETRAIN,)),
    Step("watch", "receive", "retraining", (_RETRAINING,), (_RETRAIN,)),
    Step("watch", "send", "dead_letters", _LETTERS, (_WATCH, _ALERT_STAGE, _RETRAIN)),
    Step("ledger", "receive", "inference", _INFERENCE, ("stream/ledger",)),
    Step("ledger", "receive", "verdicts", _VERDICTS, ("stream/ledger",)),
    Step("ledger", "receive", "findings", _FINDINGS, ("stream/ledger",)),
    Step("ledger", "receive", "feedback", _JUDGMENTS, ("stream/ledger",)),
    Step("ledger", "receive", "alerts", _ALERTS, ("stream/ledger",)),
    Step("ledger", "receive", "retraining", (_RETRAINING,), ("stream/ledger",)),
    Step("ledger", "send", "alerts", (_ALERT,), ("stream/ledger",)),
    Step("ledger", "receive", "signals", (_SIGNAL, _TICK), (_OPERATE,)),  # the console, which this process serves
    Step("ledger", "send", "inference", (_CORRECTION,), (_OPERATE,)),
    Step("bridge", "receive", "alerts", _ALERTS, ("stream/bridge",)),
    Step("delivery", "receive", "retraining", (_RETRAINING,), (_DELIVERY,)),
    Step("delivery", "receive", "models", (_MODEL, _ROUTE), (_DELIVERY,)),
    Step("delivery", "receive", "verdicts", _VERDICTS, (_DELIVERY,)),
    Step("delivery", "receive", "signals", (_SIGNAL, _TICK), (_DELIVERY,)),
    Step("delivery", "send", "models", (_ROUTE,), (_DELIVERY,)),
    Step("delivery", "send", "retraining", (_RETRAINING,), (_DELIVERY,)),
    Step("trainer", "receive", "retraining", (_RETRAINING,), (_TRAINING,)),
    Step("trainer", "send", "retraining", (_RETRAINING,), (_TRAINING,)),
    Step("trainer", "send", "models", (_MODEL,), (_TRAINING,)),
    Step("operator", "receive", "models", (_MODEL, _ROUTE), (_OPERATE, _DATASET, _LINEAGE)),
    Step("operator", "receive", "alerts", _ALERTS, (_CLIENT, _OPERATE, _RESEND, _DEMO, _LINEAGE)),
    Step(
        "operator",
        "receive",
        "retraining",
        (_RETRAINING,),
        (_CLIENT, _OPERATE, _RESEND, _DEMO, _DATASET, _TRAINING, _LINEAGE),
    ),
    Step("operator", "send", "models", (_MODEL,), (_TRAINING,)),
    Step("operator", "send", "alerts", _ALERTS, (_OPERATE, _RESEND)),
    Step("operator", "send", "retraining", (_RETRAINING,), (_OPERATE, _RESEND, _TRAINING)),
    Step("operator", "send", "feedback", _JUDGMENTS, (_OPERATE,)),
    Step("operator", "receive", "inference", _INFERENCE, (_OPERATE, _DEMO, _REPLAY, _DATASET, _ARCHIVE, _LINEAGE)),
    Step("operator", "receive", "verdicts", _VERDICTS, (_REPLAY, _DEMO, _DATASET, _ARCHIVE, _LINEAGE)),
    Step("operator", "receive", "feedback", _JUDGMENTS, (_DATASET, _ARCHIVE)),
    Step("operator", "receive", "signals", (_SIGNAL, _TICK), (_REPLAY, _DATASET, _ARCHIVE)),
    Step("operator", "receive", "findings", _FINDINGS, (_REPLAY, _ARCHIVE, _LINEAGE)),
    Step("operator", "send", "replay", (_FINDING, _ALERT), (_REPLAY,)),
    Step("operator", "receive", "dead_letters", _LETTERS, (_RESEND,)),
    Step("operator", "send", "dead_letters", _LETTERS, (_RESEND,)),
    Step("operator", "send", "inference", _INFERENCE, (_RESEND,)),
    Step("operator", "send", "signals", (_SIGNAL, _TICK), (_RESEND,)),
    Step("operator", "send", "findings", _FINDINGS, (_RESEND,)),
)


def channel_messages(channel: str) -> tuple[str, ...]:
    """Return the event types on `channel`, in the order of the flow."""
    named = [message for step in FLOW if step.channel == channel for message in step.messages]
    return tuple(dict.fromkeys(named))
