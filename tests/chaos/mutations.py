"""Mutations: one defect of Weir's code for each fault. A fault that does not find its mutation tests nothing.

The lab's processes apply a mutation at their start if ``CHAOS_MUTATION`` names it. The product never reads this variable.
"""

import asyncio
import contextlib
import itertools
import os
import pkgutil
from collections import defaultdict
from unittest import mock

import msgspec

from serving.capture.delivery_cursor import CURSOR_FILE
from stream.files import replace_file

VARIABLE = "CHAOS_MUTATION"
#: Patches by mutation: (processes, target, replacement).
MUTATIONS = {}
_tasks, _leaked = set(), []
_unwritten, _syncs, _inserts = defaultdict(list), itertools.count(1), itertools.count(1)


def mutation(name, target, *processes):
    """Register a function as the replacement of `target`; its first argument is the original."""

    def register(replacement):
        MUTATIONS.setdefault(name, []).append((processes, target, replacement))
        return replacement

    return register


def _patch(target, replacement):
    original = pkgutil.resolve_name(target)

    def replaced(*arguments, **options):
        return replacement(original, *arguments, **options)

    return mock.patch(target, replaced)


def mutate(process):
    """Apply the patches of `process` for the mutations in the environment variable, whose names are separated by commas."""
    for name in filter(None, os.environ.get(VARIABLE, "").split(",")):
        for processes, target, replacement in MUTATIONS[name]:
            if process in processes:
                _patch(target, replacement).start()


@contextlib.contextmanager
def mutated(name):
    """Apply every patch of a mutation in this process; none if the name is ""."""
    with contextlib.ExitStack() as stack:
        for _, target, replacement in MUTATIONS[name] if name else ():
            stack.enter_context(_patch(target, replacement))
        yield


@mutation("tracker-off", "stream.kafka.ack_tracker.AckTracker.position", "score", "watch")
def _delivered_position(_position, tracker, partition):
    return tracker.delivered(partition)


@mutation("state-not-awaited", "stream.runtime.table.AckedTable.put", "watch")
async def _put_later(put, table, key, value, *, partition):
    async def write():
        await asyncio.sleep(1.0)
        await put(table, key, value, partition=partition)

    _tasks.add(asyncio.ensure_future(write()))


@mutation("state-not-read", "stream.runtime.table.AckedTable.rows", "watch")
def _no_rows(*_):
    return []


@mutation("sends-forgotten", "stream.kafka.publisher.Publisher.produce", "score", "watch")
async def _produce_once(_produce, publisher, topic, *, key, value, headers, partition):
    """Log a failed send and continue, as Faust does."""
    from faust.exceptions import NotReady, ProducerSendError  # noqa: PLC0415 - only score and watch load Faust

    from stream.kafka.publisher import KafkaError  # noqa: PLC0415 - as above

    with contextlib.suppress(KafkaError, ProducerSendError, NotReady):
        return await publisher._producer().send(topic, key, value, partition, None, list(headers))


@mutation("any-generation", "stream.runtime.table.AckedTable._order", "score", "watch")
def _no_order(*_):
    """Remove both guards: the order guard alone would ignore the older states of a zombie (docs/adr/0002-furthest-state.md)."""
    return 0.0


@mutation("any-generation", "stream.runtime.app.BaseApp.is_current", "score", "watch")
def _always_current(*_):
    return True


@mutation("any-generation", "stream.kafka.ack_tracker.AckTracker._state", "score", "watch")
def _any_state(_original, tracker, partition, _generation):
    return tracker._partitions.get(partition)


@mutation("any-generation", "stream.kafka.ack_tracker.AckTracker.assign", "score", "watch")
def _keep_delivered(assign, tracker, partitions, generation):
    known = tracker._partitions
    assign(tracker, partitions, generation)
    tracker._partitions = {partition: known.get(partition, new) for partition, new in tracker._partitions.items()}


@mutation("cursor-before-ack", "serving.capture.pipeline.Pipeline._advance", "shipper")
def _advance_early(advance, pipeline, lease):
    _move_cursor(pipeline)
    advance(pipeline, lease)
    _move_cursor(pipeline)


def _move_cursor(pipeline):
    """Move the cursor past all records that were given to the producer."""
    if pipeline._window:
        pipeline.cursor = pipeline._window[-1].cursor


@mutation("producer-kept", "serving.capture.producer.Lease.lose", "shipper")
def _kept(_lose, lease, reason):
    lease.reason = reason


@mutation("accepted-in-memory", "serving.capture.segment_writer.SegmentWriter.append", "source")
def _append_later(append, writer, frame):
    _unwritten[writer].append((append, frame))


@mutation("accepted-in-memory", "serving.capture.segment_writer.SegmentWriter.sync", "source")
def _write_at_every_tenth_sync(sync, writer):
    if next(_syncs) % 10 == 0:
        for append, frame in _unwritten.pop(writer, ()):
            append(writer, frame)
    sync(writer)


@mutation("accept-asks-kafka", "serving.capture.recorder.Recorder.request", "source")
def _ask_first(accept, recorder, record, **context):
    from serving.errors import SpoolFull  # noqa: PLC0415 - only sources accept requests
    from stream.kafka.probe import broker_answers  # noqa: PLC0415 - as above

    if not broker_answers(os.environ["WEIR_KAFKA__BOOTSTRAP_SERVERS"], 1.0):
        raise SpoolFull("no broker answers")
    accept(recorder, record, **context)


@mutation("letters-thrown-away", "stream.dead_letters.DeadLetters.send", "score")
async def _no_letter(*_, **_why):
    pass


@mutation("shed-uncounted", "serving.capture.spool_writer.SpoolWriter._shed_number", "source")
def _uncounted(*_):
    return None


@mutation("ledger-forgets", "stream.ledger.shard.Shard._insert_event", "ledger")
def _insert_every_other(insert, *arguments):
    return next(_inserts) % 2 == 0 and insert(*arguments)


@mutation("cursor-needs-room", "serving.capture.pipeline.save_cursor", "shipper")
def _new_file(save, directory, cursor):
    file = directory / CURSOR_FILE
    replace_file(file, file.read_bytes())
    save(directory, cursor)


@mutation("no-crc", "serving.capture.segment.zlib.crc32")
def _no_crc(*_):
    return 0


@mutation("window-without-bound", "stream.runtime.task_window.TaskWindow.__init__", "score")
def _unbounded(begin, window, _size, failed):
    begin(window, 10**9, failed)


@mutation("repeats-counted", "stream.stages.watch.buckets.StreamBuckets.offer", "watch")
def _counted_again(offer, buckets, event, signal, token, *watermark):
    if signal.event_id in buckets._open.get(buckets.number(signal.time), {}):
        signal = msgspec.structs.replace(signal, event_id=f"{signal.event_id}/again/{id(token)}")
    return offer(buckets, event, signal, token, *watermark)


@mutation("leak", "stream.runtime.app.BaseApp.acknowledge", "score", "watch")
def _leak(acknowledge, app, event):
    _leaked.append(bytearray(20_000))
    return acknowledge(app, event)


@mutation("raw-text-alone", "detectors.pii.detector.normalise")
def _no_copy(*_):
    return None
