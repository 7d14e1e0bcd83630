"""Select the events that a stream detector looks at: one for each conversation, unless that would hide an API key's traffic.

Messages of one conversation are alike, so their ranks are no fair sample of the stream: one message is looked at, the others are
suppressed. A client that sends one conversation id on every request would then never be watched, so the events that one id
suppresses, and those that all ids of a key suppress together, are bounded.
"""

import hashlib
from collections import deque
from functools import lru_cache
from typing import Final

import msgspec

__all__ = ["BY_ONE", "TURNS", "Conversations", "ConversationsState"]

#: Turns of a conversation that count as one observation, whatever else its key sends.
TURNS: Final = 16
#: Largest share of its key's events in the window that one id may suppress.
BY_ONE: Final = 1 / 2
_MARKS: Final = (1 << 31) - 1


class ConversationsState(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot of `Conversations`: one `_row` for each event of the window, oldest first."""

    rows: list[int] = []


class Conversations:
    """The events of the last ``events`` of a stream: key, conversation, and whether each was looked at.

    Parameters
    ----------
    events
        Size of the window, the next event included; 0 looks at every event.
    turns
        One id suppresses ``turns - 1`` events of the window, or half of its key's events in it if that is more. Of what all ids of a
        key send, one event in ``2 turns`` is looked at.

    Notes
    -----
    State: 9 bytes an event of the window, and counts of the keys and ids in it. An update is amortised O(1), about 3 µs.
    A conversation that two keys share counts as two. Keys and ids are 31-bit marks: those with equal marks are counted together.
    """

    def __init__(self, events: int, turns: int = TURNS) -> None:
        self._events, self._turns = events, turns
        self._rows: deque[int] = deque()
        #: By mark of a key, and of an id: events suppressed and looked at in the window.
        self._keys: dict[int, list[int]] = {}
        self._ids: dict[int, list[int]] = {}

    def looks_at(self, principal: str, conversation: str) -> bool:
        """Return whether the next event is looked at; an event without a conversation always is."""
        if self._events == 0:
            return True
        while len(self._rows) >= self._events:
            self._count(self._rows.popleft(), -1)
        key = _mark(principal)
        one = _mark(f"{key}\0{conversation}") if conversation else 0
        looked = not (one and self._suppresses(key, one))
        row = _row(key, one, looked=looked)
        self._rows.append(row)
        self._count(row, 1)
        return looked

    def _suppresses(self, key: int, one: int) -> bool:
        """Whether an event of this id is suppressed: another one in the window was looked at, and no bound is exceeded."""
        by_one, looked = self._ids.get(one, (0, 0))
        if not looked:
            return False
        by_all, others = self._keys.get(key, (0, 0))
        sent = by_all + others + 1
        return by_one + 1 <= max(self._turns - 1, BY_ONE * sent) and by_all + 1 <= (1 - 0.5 / self._turns) * sent

    def _count(self, row: int, change: int) -> None:
        """Add an event of the window to the counts (``change`` 1) or remove it (-1)."""
        key, one, looked = row >> 32, row >> 1 & _MARKS, row & 1
        for counts, mark in ((self._keys, key), (self._ids, one)):
            if mark:
                pair = counts.setdefault(mark, [0, 0])
                pair[looked] += change
                if not any(pair):
                    del counts[mark]

    def snapshot(self) -> ConversationsState:
        """Return an immutable copy of the state."""
        return ConversationsState(rows=list(self._rows))

    def restore(self, state: ConversationsState) -> None:
        """Continue from a snapshot; raise ValueError if the state has more events than the window."""
        if len(state.rows) > self._events:
            raise ValueError(f"state has {len(state.rows)} events; the window has at most {self._events}")
        self._rows, self._keys, self._ids = deque(state.rows), {}, {}
        for row in state.rows:
            self._count(row, 1)


@lru_cache(maxsize=1024)
def _mark(text: str) -> int:
    """Return a hash of a text, from 1 to 2^31 - 1."""
    digest = hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=4).digest()
    return int.from_bytes(digest, "big") & _MARKS or 1


def _row(key: int, one: int, *, looked: bool) -> int:
    """Pack an event of the window: mark of its key, mark of its conversation or 0, and whether it was looked at."""
    return key << 32 | one << 1 | looked
