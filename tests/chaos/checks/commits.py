"""I5: at every kill, what was committed was finished."""

from collections import defaultdict

import msgspec

from chaos.checks.outcomes import Outputs
from chaos.checks.told import some
from chaos.look import Offsets
from chaos.record import Record
from chaos.replay import Touch
from stream.stages.alert import state as alert_state
from stream.stages.watch.state import decode_stream
from stream.wire import TopicNames

__all__ = ["Commits", "Mark"]


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """What was committed at one moment, and how far every topic had come a little later: outputs after that are too late."""

    what: str
    score: Offsets
    watch: Offsets
    ends: Offsets


class Commits:
    """Checks marks in the order of time; what one mark has shown finished, a later one need not look at again."""

    def __init__(self, names: TopicNames, changelogs: dict[str, str]) -> None:
        self._names = names
        self._changelogs = changelogs
        self._shown: dict[tuple[str, int], int] = defaultdict(int)

    def score(self, mark: Mark, record: Record, outputs: Outputs) -> list[str]:
        """Inference: every record below the committed offset has all its outputs, or its dead letter."""
        topic, open_ = self._names.inference, []
        for partition, places in record.places.items():
            start, committed = self._shown[topic, partition], mark.score.get((topic, partition), 0)
            index = start
            for index in range(start, len(places)):
                offset, identity = places[index]
                if offset >= committed:
                    break
                if not self._finished((partition, offset), identity, mark, record, outputs):
                    open_.append(f"{partition}/{offset}")
            self._shown[topic, partition] = max(start, index)
        return some("I5", f"inference records were committed before they were finished, at {mark.what}", open_)

    def _finished(
        self,
        place: tuple[int, int],
        identity: tuple[str, str] | None,
        mark: Mark,
        record: Record,
        outputs: Outputs,
    ) -> bool:
        if identity is None:
            return place not in record.unreadable or bool(record.letters[self._names.inference, *place])
        ids, signal_id = outputs.of[identity]
        signal = record.signals.get(signal_id)
        wanted = [(self._names.verdicts, record.verdicts.get(one)) for one in ids] + [(self._names.signals, signal)]
        return all(
            seen is not None and seen.offset < mark.ends.get((topic, seen.partition), 0) for topic, seen in wanted
        )

    def watch(self, mark: Mark, record: Record, touches: list[list[Touch]], table: str, topic: str) -> list[str]:
        """Signals or findings: every record below the committed offset that changes a state is in the state that is kept."""
        log, open_ = self._changelogs[table], []
        reached = {
            key: max((_reached(table, key, v) for p, o, v in values if o < mark.ends.get((log, p), 0)), default=-1)
            for key, values in record.changelog[table].items()
        }
        for partition, mine in enumerate(touches):
            start, committed = self._shown[topic, partition], mark.watch.get((topic, partition), 0)
            index = start
            for index in range(start, len(mine)):
                if mine[index].offset >= committed:
                    break
                if reached.get(mine[index].key, -1) < _needed(mine[index]):
                    open_.append(f"{partition}/{mine[index].offset}")
            self._shown[topic, partition] = max(start, index)
        return some("I5", f"records of {topic} were committed and their state not kept, at {mark.what}", open_)


def _reached(table: str, key: str, value: bytes) -> int:
    if key.startswith("\0") or not value:
        return -1
    return decode_stream(value).last_closed if table == "streams" else alert_state.decode(value).offset


def _needed(touch: Touch) -> int:
    return touch.bucket if touch.bucket >= 0 else touch.offset
