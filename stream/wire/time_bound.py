"""Bounds the times of a source whose clock is ahead, by the time at which Kafka stored the record.

The watermark never decreases. Without a bound, a gateway whose clock was ahead by years stops all windows for years, even after its clock is corrected.
"""

import msgspec

from stream.wire.codec import Event
from stream.wire.events.progress import Closed, Tick

#: Kafka rejects records further ahead if their time is the producer's (`message.timestamp.after.max.ms`).
AHEAD_SECONDS = 3600.0


def bounded(event: Event, stored_at: float | None) -> Event:
    """Return `event` with no time more than an hour after `stored_at`, the timestamp of its record in Kafka (seconds).

    None or a negative timestamp is no bound. The result is a function of the log, so every reader computes the same times.
    """
    if stored_at is None or stored_at < 0:
        return event
    latest = stored_at + AHEAD_SECONDS
    data = event.data
    if isinstance(data, Tick) and any(time > latest for time in data.sources.values()):
        sources = {source: min(time, latest) for source, time in data.sources.items()}
        data = msgspec.structs.replace(data, sources=sources)
    elif isinstance(data, Closed) and data.time > latest:
        data = msgspec.structs.replace(data, time=latest)
    if data is event.data and event.time <= latest:
        return event
    return msgspec.structs.replace(event, time=min(event.time, latest), data=data)
