"""Our code made wrong on purpose, one way for each fault: a fault that does not find its mutation tests nothing.

A mutation is applied in the lab's own processes as they start, where ``CHAOS_MUTATION`` names it; no code of the product reads that.
"""

import itertools
import os
from collections.abc import Callable
from typing import Any

import msgspec

__all__ = ["MUTATIONS", "VARIABLE", "Mutation", "mutate"]

VARIABLE = "CHAOS_MUTATION"


class Mutation(msgspec.Struct, frozen=True, kw_only=True):
    """What is wrong, in which processes, and how it is made so."""

    what: str
    processes: frozenset[str]
    apply: Callable[[], None]


def mutate(process: str) -> None:
    """Apply the mutations that the environment names (one, or some with commas), where they are of `process`."""
    for name in filter(None, os.environ.get(VARIABLE, "").split(",")):
        if process in MUTATIONS[name].processes:
            MUTATIONS[name].apply()


def _tracker_off() -> None:
    from stream.kafka.ack_tracker import AckTracker  # noqa: PLC0415 - each process loads its own part alone

    AckTracker.position = AckTracker.delivered  # type: ignore[method-assign]


def _state_not_awaited() -> None:
    import asyncio  # noqa: PLC0415 - as above

    from stream.runtime.table import AckedTable  # noqa: PLC0415 - as above

    put = AckedTable.put
    tasks: set[Any] = set()

    async def behind(self: Any, key: bytes, value: bytes, *, partition: int) -> None:
        async def write() -> None:
            await asyncio.sleep(1.0)
            await put(self, key, value, partition=partition)

        tasks.add(asyncio.ensure_future(write()))

    AckedTable.put = behind  # type: ignore[method-assign]


def _state_not_read() -> None:
    from stream.runtime.table import AckedTable  # noqa: PLC0415 - as above

    AckedTable.rows = lambda *_: []  # type: ignore[method-assign]


def _sends_forgotten() -> None:
    """A send that fails is given up, as Faust would: logged, and the event goes on."""
    from faust.exceptions import NotReady, ProducerSendError  # noqa: PLC0415 - as above

    from stream.kafka.publisher import KafkaError, Publisher  # noqa: PLC0415 - as above

    async def produce(self: Any, topic: str, *, key: Any, value: Any, headers: Any, partition: int) -> Any:
        try:
            return await self._producer().send(topic, key, value, partition, None, list(headers))
        except (KafkaError, ProducerSendError, NotReady):
            return None

    Publisher.produce = produce  # type: ignore[method-assign]


def _any_generation() -> None:
    """Both guards are off: a zombie's writes alone are passed over, as its states are the older ones (ADR 2)."""
    from stream.kafka.ack_tracker import AckTracker  # noqa: PLC0415 - as above
    from stream.runtime.app import BaseApp  # noqa: PLC0415 - as above
    from stream.runtime.table import AckedTable  # noqa: PLC0415 - as above

    AckedTable._order = lambda *_: 0.0  # type: ignore[method-assign]
    BaseApp.is_current = lambda *_: True  # type: ignore[method-assign]
    AckTracker._state = lambda self, partition, _generation: self._partitions.get(partition)  # type: ignore[method-assign]
    AckTracker.assign = _keep_what_was_delivered  # type: ignore[method-assign]


def _keep_what_was_delivered(self: Any, partitions: Any, generation: int) -> None:
    from stream.kafka.ack_tracker import _Partition  # noqa: PLC0415 - as above

    self._generation = generation
    self._partitions = {partition: self._partitions.get(partition, _Partition()) for partition in partitions}


def _cursor_before_ack() -> None:
    """The cursor moves as soon as a record was handed to the producer."""
    from serving.capture.pipeline import Pipeline  # noqa: PLC0415 - as above

    advance = Pipeline._advance

    def early(self: Any, lease: Any) -> None:
        if self._window:
            self.cursor = self._window[-1].cursor
        advance(self, lease)
        if self._window:
            self.cursor = self._window[-1].cursor

    Pipeline._advance = early  # type: ignore[method-assign]


def _producer_kept() -> None:
    from serving.capture.producer import Lease  # noqa: PLC0415 - as above

    Lease.lose = lambda self, reason: setattr(self, "reason", reason)  # type: ignore[method-assign]


def _accepted_in_memory() -> None:
    """What is accepted is written at every tenth sync, half a second later, not at once."""
    from serving.capture.segment_writer import SegmentWriter  # noqa: PLC0415 - as above

    append, sync = SegmentWriter.append, SegmentWriter.sync
    waiting: dict[int, list[bytes]] = {}
    syncs = itertools.count(1)

    def later(self: Any, frame: bytes) -> None:
        waiting.setdefault(id(self), []).append(frame)

    def flush(self: Any) -> None:
        if next(syncs) % 10 == 0:
            for frame in waiting.pop(id(self), []):
                append(self, frame)
        sync(self)

    SegmentWriter.append, SegmentWriter.sync = later, flush  # type: ignore[method-assign]


def _accept_asks_kafka() -> None:
    from serving.capture import Recorder  # noqa: PLC0415 - as above
    from serving.errors import SpoolFull  # noqa: PLC0415 - as above
    from stream.kafka.probe import broker_answers  # noqa: PLC0415 - as above

    accept = Recorder.request

    async def ask(self: Any, record: Any, **context: Any) -> None:
        if not broker_answers(os.environ["WEIR_KAFKA__BOOTSTRAP_SERVERS"], 1.0):
            raise SpoolFull("no broker answers")
        await accept(self, record, **context)

    Recorder.request = ask  # type: ignore[method-assign]


def _letters_thrown_away() -> None:
    from stream.dead_letters import DeadLetters  # noqa: PLC0415 - as above

    async def send(self: Any, message: Any, **why: Any) -> None:
        del self, message, why

    DeadLetters.send = send  # type: ignore[method-assign]


def _shed_uncounted() -> None:
    from serving.capture.spool_writer import SpoolWriter  # noqa: PLC0415 - as above

    SpoolWriter._shed_number = lambda *_: None  # type: ignore[method-assign]


def _ledger_forgets() -> None:
    """Offsets are written, and of what was read every other batch is not."""
    from stream.ledger.shard import Shard  # noqa: PLC0415 - as above

    request, seen = Shard._insert_event, []

    def insert(self: Any, *arguments: Any) -> bool:
        seen.append(1)
        return len(seen) % 2 == 0 and request(self, *arguments)

    Shard._insert_event = insert  # type: ignore[method-assign]


def _cursor_needs_room() -> None:
    """The cursor is a new file each time, as it once was."""
    from serving.capture import delivery_cursor as cursor  # noqa: PLC0415 - as above
    from serving.capture import pipeline  # noqa: PLC0415 - as above

    def save(directory: Any, place: Any) -> None:
        cursor.replace_file(directory / "cursor.json", msgspec.json.encode(place))

    pipeline.save_cursor = save


def _no_crc() -> None:
    from serving.capture import segment  # noqa: PLC0415 - as above

    class _Blind:
        @staticmethod
        def crc32(*_: Any) -> int:
            return 0

    segment.zlib = _Blind  # type: ignore[assignment]


def _window_without_bound() -> None:
    from stream.runtime.task_window import TaskWindow  # noqa: PLC0415 - as above

    begin = TaskWindow.__init__
    TaskWindow.__init__ = lambda self, _size, failed: begin(self, 10**9, failed)  # type: ignore[method-assign]


def _repeats_counted() -> None:
    from stream.stages.watch.buckets import StreamBuckets  # noqa: PLC0415 - as above

    offer = StreamBuckets.offer

    def twice(self: Any, event: Any, signal: Any, token: Any, watermark: Any) -> Any:
        again = signal.event_id in self._open.get(self.number(signal.time), {})
        if again:
            signal = msgspec.structs.replace(signal, event_id=f"{signal.event_id}/again/{id(token)}")
        return offer(self, event, signal, token, watermark)

    StreamBuckets.offer = twice  # type: ignore[method-assign]


def _leak() -> None:
    from stream.runtime.app import BaseApp  # noqa: PLC0415 - as above

    acknowledge, kept = BaseApp.acknowledge, []

    def keep(self: Any, event: Any) -> bool:
        kept.append(bytearray(20_000))
        return acknowledge(self, event)

    BaseApp.acknowledge = keep  # type: ignore[method-assign]


def _raw_text_alone() -> None:
    from detectors.pii import detector as pii  # noqa: PLC0415 - as above

    pii.normalise = lambda _text: None  # type: ignore[assignment]


def _of(what: str, apply: Callable[[], None], *processes: str) -> Mutation:
    return Mutation(what=what, processes=frozenset(processes), apply=apply)


MUTATIONS = {
    "tracker-off": _of("the committed offset is the last delivered one", _tracker_off, "score", "watch"),
    "state-not-awaited": _of(
        "tables are written behind, a second after the acknowledgement", _state_not_awaited, "watch"
    ),
    "state-not-read": _of("a restarted worker does not read its tables", _state_not_read, "watch"),
    "sends-forgotten": _of("an output's acknowledgement is not awaited", _sends_forgotten, "score", "watch"),
    "any-generation": _of(
        "a message of an older assignment counts, and so does a state that was written last",
        _any_generation,
        "score",
        "watch",
    ),
    "cursor-before-ack": _of("the cursor is saved before the acknowledgement", _cursor_before_ack, "shipper"),
    "producer-kept": _of("a lost producer is used on", _producer_kept, "shipper"),
    "accepted-in-memory": _of("a request is accepted before its write()", _accepted_in_memory, "source"),
    "accept-asks-kafka": _of("accepting asks the broker", _accept_asks_kafka, "source"),
    "letters-thrown-away": _of("a dead letter is not sent", _letters_thrown_away, "score"),
    "shed-uncounted": _of("what is shed is not counted", _shed_uncounted, "source"),
    "ledger-forgets": _of("the ledger moves on over what it could not write", _ledger_forgets, "ledger"),
    "cursor-needs-room": _of("the cursor is written to a new file each time", _cursor_needs_room, "shipper"),
    "no-crc": _of("the CRC of a frame is not looked at", _no_crc, "suite"),
    "window-without-bound": _of("any number of events may be in flight", _window_without_bound, "score"),
    "repeats-counted": _of("an event that comes again counts again", _repeats_counted, "watch"),
    "leak": _of("every settled event leaves 20 kB behind", _leak, "score", "watch"),
    "raw-text-alone": _of("detectors see no normalised copy", _raw_text_alone, "suite"),
}
