"""Events as capture and the stages write them, with defaults."""

from stream.wire import Choice, Closed, Event, Message, RequestRecord, ResponseRecord, TextPart, Tick, Usage

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
#: The measurements in an end record.
MEASURED = {
    "usage": Usage(prompt_tokens=3, completion_tokens=5),
    "latency_seconds": 0.5,
    "time_to_first_token_seconds": 0.1,
}


def event_of(data, identity, time, *, source="weir/score", kind=None, key="", **more):
    return Event(
        id=identity, source=source, type=kind or data.event_type, time=time, data=data, partitionkey=key, **more
    )


def a_request(name, text="hello", **fields):
    defaults = {"tenant": "acme", "model": "m", "messages": (Message.of_text("user", text),), "owed": ("pii",)}
    return RequestRecord(request_id=name, **(defaults | fields))


def an_end(name, text="world", status="complete", finish_reason=None, **fields):
    defaults = {"tenant": "acme", "model": "m", "owed": ("pii",), "messages": choices(text, finish_reason)}
    return ResponseRecord(request_id=name, status=status, **(defaults | fields))


def choices(text, finish_reason=None):
    """Return the choices of an answer: one, or none without a text and a finish reason."""
    return (Choice(parts=(TextPart(content=text),), finish_reason=finish_reason),) if text or finish_reason else ()


def tick(time, source="s1"):
    return event_of(Tick(sources={source: time}), f"{source}/tick/{time}", time, source=source)


def closed(time, source="s1"):
    return event_of(Closed(source=source, time=time), f"{source}/closed", time, source=source)
