"""Selection of the events that a stream detector uses: one per conversation in a window of events.

Messages of one conversation are alike, but the test needs exchangeable values. So the detector uses one message of each
conversation and suppresses the others. Without an id, a chat's turn belongs to the conversation of the earlier request
whose messages it repeats. A client could hide its traffic by sending one conversation id with every request. Two bounds
prevent this: the number of events that one id can suppress, and the number that all ids of an API key can suppress.
"""

import hashlib
from collections import deque
from collections.abc import Sequence
from functools import lru_cache
from typing import Final

import msgspec

#: Maximum number of turns of a conversation that count as one observation, independent of the key's other events.
TURNS: Final = 16
#: One conversation id may suppress at most this share of its key's events in the window.
BY_ONE: Final = 1 / 2
_MARKS: Final = (1 << 31) - 1


class ConversationsState(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot of `Conversations`: the packed row (see `looks_at`) of each event in the window, and its `chats`, oldest first."""

    rows: list[int] = []
    chats: dict[int, int] = {}


class Conversations:
    """A window of the last events of a stream, with the key and conversation of each, and whether it was used.

    Parameters
    ----------
    events
        Size of the window, including the next event; with 0 no event is suppressed.
    turns
        In the window, at most ``turns - 1`` events of a conversation or half of its key's events are suppressed,
        whichever number is higher. Of all events of a key, at least one in ``2 * turns`` is used.

    Notes
    -----
    State: 9 bytes per event of the window (19 if chats have no ids), and counts per key and id. An update is amortised
    O(1), about 3 µs. The same id under two keys is two conversations. Keys and ids are 31-bit hashes; equal hashes are
    counted together.
    """

    def __init__(self, events: int, turns: int = TURNS) -> None:
        self._events, self._turns = events, turns
        self._rows: deque[int] = deque()
        #: By hash of a key, and by hash of an id: numbers of suppressed and of used events in the window.
        self._keys: dict[int, list[int]] = {}
        self._ids: dict[int, list[int]] = {}
        #: By hash of a request's messages, oldest first, at most as many as the window has events: hash of its conversation.
        self._chats: dict[int, int] = {}

    def looks_at(self, principal: str, conversation: str, turns: Sequence[str] = (), event: str = "") -> bool:
        """Add the next event to the window and return whether to use it; an event without a conversation is used.

        ``turns`` are the event's digests (`Observation.turns`), and ``event`` is its id.
        """
        if self._events == 0:
            return True
        while len(self._rows) >= self._events:
            self._count(self._rows.popleft(), -1)
        key = _mark(principal)
        one = _mark(f"{key}\0{conversation}") if conversation else self._chat(key, turns, event)
        looked = not (one and self._suppresses(key, one))
        # The hashes of its key and conversation (0 if none), and whether it is used.
        row = key << 32 | one << 1 | looked
        self._rows.append(row)
        self._count(row, 1)
        return looked

    def _chat(self, key: int, turns: Sequence[str], event: str) -> int:
        """Return the hash of the conversation that a chat without an id continues, else of a new one; 0 without `turns`.

        Equal requests are separate conversations: many clients send the same first message.
        """
        if not turns:
            return 0
        asked, *earlier = (_mark(f"{key}\0{turn}") for turn in turns)
        known = next((self._chats[turn] for turn in earlier if turn in self._chats), 0)
        self._chats.pop(asked, None)
        self._chats[asked] = one = known or _mark(f"{key}\0{event}")
        if len(self._chats) > self._events:
            del self._chats[next(iter(self._chats))]
        return one

    def _suppresses(self, key: int, one: int) -> bool:
        """Whether to suppress an event of this id: the window has a used event of the id, and no bound is exceeded."""
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
        return ConversationsState(rows=list(self._rows), chats=dict(self._chats))

    def restore(self, state: ConversationsState) -> None:
        """Continue from a snapshot; raise ValueError if the state has more events than the window."""
        if (events := max(len(state.rows), len(state.chats))) > self._events:
            raise ValueError(f"state has {events} events; the window has at most {self._events}")
        self._rows, self._keys, self._ids, self._chats = deque(state.rows), {}, {}, dict(state.chats)
        for row in state.rows:
            self._count(row, 1)


@lru_cache(maxsize=1024)
def _mark(text: str) -> int:
    """Return a hash of a key or id, from 1 to 2^31 - 1."""
    digest = hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=4).digest()
    return int.from_bytes(digest, "big") & _MARKS or 1
