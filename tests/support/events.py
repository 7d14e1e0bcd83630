"""Events as capture and the stages write them, with defaults."""

from stream.wire import Closed, Event, Message, RequestRecord, ResponseRecord, Tick, Usage

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
#: What an end measures.
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
    defaults = {"tenant": "acme", "model": "m", "messages": (Message(role="user", content=text),), "owed": ("pii",)}
    return RequestRecord(request_id=name, **(defaults | fields))


def an_end(name, text="world", status="complete", **fields):
    defaults = {"tenant": "acme", "model": "m", "owed": ("pii",)}
    return ResponseRecord(request_id=name, status=status, text=text, **(defaults | fields))


def tick(time, source="s1"):
    return event_of(Tick(sources={source: time}), f"{source}/tick/{time}", time, source=source)


def closed(time, source="s1"):
    return event_of(Closed(source=source, time=time), f"{source}/closed", time, source=source)
