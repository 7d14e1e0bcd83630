"""Dead letters: unchanged copies of records that cannot be read or processed, with their origin and the reason.

The header names follow Kafka Connect, with the prefix ``__weir.errors.`` instead of ``__connect.errors.``. No header
contains an error message that may quote personal data: only the message of a WireError, which has no value of the record.
"""

import logging
from typing import Any, Protocol

from aiokafka.errors import MessageSizeTooLargeError
from prometheus_client import CollectorRegistry, Counter

from stream.wire.errors import WireError

HEADER_PREFIX = "__weir.errors."
#: Header of a note on the dead-letter topic: the letter at this offset was replayed (`weir dlq replay`).
REPLAYED = f"{HEADER_PREFIX}replayed"
DISPOSITIONS = ("decode", "schema", "oversize", "timeout", "bug")

_log = logging.getLogger(__name__)

Headers = tuple[tuple[str, bytes], ...]


class _Produces(Protocol):
    async def produce(
        self, topic: str, *, key: bytes | None, value: bytes | None, headers: Headers, partition: int
    ) -> Any: ...


def dead_letter_headers(message: Any, *, stage: str, place: str, error: str | WireError, disposition: str) -> Headers:
    """Return the headers of a dead letter: the headers of `message`, then Weir's own.

    Weir's header ``attempt`` is one more than in `message`, or 1 if `message` is not a dead letter.

    `stage` is the agent that failed, `place` the class that failed. `error` is a WireError, or the class name of another
    exception, never its message. `disposition` is one of :data:`DISPOSITIONS`.
    """
    own = [(name, value) for name, value in message.headers or () if not name.startswith(HEADER_PREFIX)]
    before = dict(message.headers or ()).get(f"{HEADER_PREFIX}attempt") or b"0"
    attempt = int(before) + 1 if before.isdigit() and len(before) < 6 else 1
    facts = {
        "topic": message.topic,
        "partition": str(message.partition),
        "offset": str(message.offset),
        "stage": stage,
        "class.name": place,
        "exception.class.name": error if isinstance(error, str) else type(error).__name__,
        "reason": "" if isinstance(error, str) else str(error),
        "disposition": disposition,
        "attempt": str(attempt),
    }
    return (*own, *((HEADER_PREFIX + name, value.encode()) for name, value in facts.items() if value))


class DeadLetters:
    """Publishes the dead letters of one stage; :meth:`send` returns after Kafka has acknowledged the dead letter.

    `counter` is the metric ``weir_dead_letters_total`` if another stage has registered it. Without `counter`, the
    metric is registered in `registry`.
    """

    def __init__(
        self,
        publisher: _Produces,
        topic: str,
        stage: str,
        *,
        registry: CollectorRegistry | None = None,
        counter: Counter | None = None,
    ) -> None:
        self._publisher = publisher
        self._topic = topic
        self._stage = stage
        self.counter = counter or Counter(
            "weir_dead_letters",
            "Records that could not be read or processed",
            ["stage", "disposition"],
            registry=registry,
        )
        for disposition in DISPOSITIONS:  # starts at zero, so that Prometheus sees the first dead letter as an increase
            self.counter.labels(stage, disposition)

    async def send(self, message: Any, *, disposition: str, error: str | WireError, place: str = "") -> None:
        """Publish the dead letter of `message`, and wait for the acknowledgement.

        If the record with Weir's headers is too large for Kafka, only Weir's headers are published. They contain the
        topic and the offset of the full record.
        """
        where = {"stage": self._stage, "place": place or self._stage}
        headers = dead_letter_headers(message, **where, error=error, disposition=disposition)
        value = message.value if message.value is not None or message.key is not None else b""
        try:
            await self._publisher.produce(self._topic, key=message.key, value=value, headers=headers, partition=0)
        except MessageSizeTooLargeError:
            disposition = "oversize"
            headers = dead_letter_headers(message, **where, error=error, disposition=disposition)
            short = tuple(header for header in headers if header[0].startswith(HEADER_PREFIX))
            await self._publisher.produce(self._topic, key=None, value=b"", headers=short, partition=0)
        self.counter.labels(self._stage, disposition).inc()
        place = f"{message.topic}-{message.partition} offset {message.offset}"
        what = error if isinstance(error, str) else f"{type(error).__name__}: {error}"
        _log.warning("dead letter: %s, %s, %s", place, disposition, what)
