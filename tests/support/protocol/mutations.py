"""Mutations of Weir's code, each of which breaks one guarantee. The model must find each of them, or it proves nothing."""

from unittest.mock import patch

import serving.capture.adopt_spool
import stream.ledger.shard
from serving.capture.pipeline import Pipeline
from serving.capture.segment import segment_path, segments
from serving.capture.spool_writer import SpoolWriter
from stream.kafka.ack_tracker import AckTracker
from stream.runtime.table import AckedTable
from stream.stages.alert.machine import Alerting
from stream.stages.alert.published_alerts import PublishedAlerts
from stream.stages.score.agent import ScoreAgent
from stream.stages.score.ticks import TickLine
from stream.stages.watch.agent import WatchStage
from stream.stages.watch.buckets import StreamBuckets
from stream.stages.watch.machine import PartitionWatch


def _first(owner, name, act):
    """Patch a coroutine method of `owner` so that `act` runs before it."""
    method = getattr(owner, name)

    async def changed(self, *arguments):
        await act(self, *arguments)
        await method(self, *arguments)

    return patch.object(owner, name, changed)


async def _settle(stage, raw, _event):
    """Acknowledge an event before its outputs are published."""
    stage._app.acknowledge(raw)


async def _write_state(stage, place, closed, _raw):
    """Write the state of a bucket before its findings are published."""
    await stage._table.put(closed.key.encode(), closed.state, partition=place.number)


async def _free(pipeline):
    """Delete segments before the saved cursor marks them as delivered."""
    for index in segments(pipeline._directory):
        if index < pipeline.cursor.segment:
            segment_path(pipeline._directory, index).unlink(missing_ok=True)


async def _send(pipeline, lease, item, send=Pipeline._send):
    """Move the cursor past each sent item, acknowledged or not."""
    await send(pipeline, lease, item)
    pipeline.cursor = item.cursor


def _finding(alerting, state, event, offset, finding=Alerting.finding):
    """Forget which findings were counted."""
    if event.data.bucket is None:
        state.held = []
    return finding(alerting, state, event, offset)


def _offer(buckets, event, signal, token, _watermark, offer=StreamBuckets.offer):
    """Accept events of buckets that are closed."""
    closed, buckets.last_closed = buckets.last_closed, None
    try:
        return offer(buckets, event, signal, token, None)
    finally:
        buckets.last_closed = closed


class _Forgetful(SpoolWriter):
    """A writer that closes a spool without ends for the open requests."""

    def finish(self):
        self._open.clear()
        super().finish()


_INSERT_OR_REPLACE = stream.ledger.shard._INSERT_EVENT.replace("IGNORE", "REPLACE")

#: The mutations by name.
MUTATIONS = {
    "commit cap off": patch.object(AckTracker, "position", AckTracker.delivered),
    "publish after ack": _first(ScoreAgent, "_finish", _settle),
    "state before publish": _first(WatchStage, "_finish", _write_state),
    "cursor before ack": patch.object(Pipeline, "_send", _send),
    "unlink before cursor": _first(Pipeline, "_save", _free),
    "findings not deduplicated": patch.object(Alerting, "finding", _finding),
    "closed-bucket check off": patch.object(StreamBuckets, "offer", _offer),
    "tick too early": patch.object(TickLine, "_first_open", return_value=float("inf")),
    "nothing aborted": patch.object(serving.capture.adopt_spool, "SpoolWriter", _Forgetful),
    "ledger counts repeats": patch.object(stream.ledger.shard, "_INSERT_EVENT", _INSERT_OR_REPLACE),
    "stale states recovered": patch.object(AckedTable, "_order", return_value=0.0),
    "published alerts not corrected": patch.object(PublishedAlerts, "corrections", return_value=[]),
    "watermark forgotten": patch.object(PartitionWatch, "resume", return_value=False),
    "cursor not durable": patch("serving.capture.pipeline.save_cursor", return_value=None),
}

#: Multipliers of step weights for mutations that are rarely found without them.
FAVOURED = {
    "state before publish": {"kill watch": 6},
    "unlink before cursor": {"kill shipper": 8, "request": 2},
    "findings not deduplicated": {"duplicate": 8},
    "stale states recovered": {"stop watch": 10, "scale": 6},
    "published alerts not corrected": {"stop watch": 10, "scale": 6},
}
