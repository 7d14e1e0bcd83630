"""Check I5: at every kill, the committed records were finished."""

from collections import defaultdict

import msgspec

from chaos.checks.violations import violations
from chaos.look import Offsets
from stream.stages.alert import state as alert_state
from stream.stages.watch.state import decode_stream


class Mark(msgspec.Struct, frozen=True, kw_only=True):
    """The committed offsets at one time, and the ends of all topics shortly after; outputs after these ends are too late."""

    what: str
    score: Offsets
    watch: Offsets
    ends: Offsets


class Commits:
    """Checks marks in time order; each record is checked once."""

    def __init__(self, names, changelogs) -> None:
        self._names = names
        self._changelogs = changelogs
        self._checked = defaultdict(int)

    def _unchecked(self, topic, partition, offsets, committed):
        """Yield the indexes in `offsets` of the records below the committed offset that no earlier mark covered."""
        start = self._checked[topic, partition]
        for index in range(start, len(offsets)):
            if offsets[index] >= committed.get((topic, partition), 0):
                break
            self._checked[topic, partition] = index + 1
            yield index

    def score(self, mark, record, outputs):
        """Check that every committed inference record has all its outputs, or its dead letter."""
        topic, unfinished = self._names.inference, []
        for partition, places in record.places.items():
            for index in self._unchecked(topic, partition, [offset for offset, _ in places], mark.score):
                offset, identity = places[index]
                if not self._finished((partition, offset), identity, mark, record, outputs):
                    unfinished.append(f"{partition}/{offset}")
        return violations(
            "I5", f"inference records were committed before they were finished, at {mark.what}", unfinished
        )

    def _finished(self, place, identity, mark, record, outputs):
        if identity is None:
            return place not in record.unreadable or bool(record.letters[self._names.inference, *place])
        ids, signal_id = outputs.of[identity]
        wanted = [(self._names.verdicts, record.verdicts.get(one)) for one in ids]
        wanted.append((self._names.signals, record.signals.get(signal_id)))
        return all(
            seen is not None and seen.offset < mark.ends.get((topic, seen.partition), 0) for topic, seen in wanted
        )

    def watch(self, mark, record, replays, table, topic):
        """Check that the stored state includes every committed signal or finding that changes it."""
        log, unfinished = self._changelogs[table], []
        reached = {
            key: max((_reached(table, key, v) for p, o, v in values if o < mark.ends.get((log, p), 0)), default=-1)
            for key, values in record.changelog[table].items()
        }
        for partition, replay in enumerate(replays):
            touches = replay.touches
            for index in self._unchecked(topic, partition, [touch.offset for touch in touches], mark.watch):
                touch = touches[index]
                if reached.get(touch.key, -1) < (touch.bucket if touch.bucket >= 0 else touch.offset):
                    unfinished.append(f"{partition}/{touch.offset}")
        return violations("I5", f"records of {topic} were committed without their state, at {mark.what}", unfinished)


def _reached(table, key, value):
    if key.startswith("\0") or not value:
        return -1
    return decode_stream(value).last_closed if table == "streams" else alert_state.decode(value).offset
