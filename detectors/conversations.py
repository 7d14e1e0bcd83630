"""Which events speak for a conversation: its messages are alike, so ranks of all of them are no fair sample of the stream."""

import hashlib

import msgspec

__all__ = ["Conversations", "ConversationsState"]


class ConversationsState(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot of `Conversations`: (mark, event) pairs, oldest first."""

    looked_at: list[tuple[int, int]]


class Conversations:
    """Conversations that were looked at within the last ``events`` events; two that share a mark count as one.

    Parameters
    ----------
    events
        For so many events a conversation is not looked at again: one that never ends is looked at now and then.

    Notes
    -----
    State: two numbers a conversation, ``events`` conversations at most. An update is amortised O(1).
    """

    def __init__(self, events: int) -> None:
        self._events = events
        self._looked_at: dict[int, int] = {}

    def new(self, conversation: str, event: int) -> bool:
        """Whether event number ``event`` speaks for its conversation; without one it speaks for itself."""
        if not conversation or self._events == 0:
            return True
        while self._looked_at and event - next(iter(self._looked_at.values())) >= self._events:
            del self._looked_at[next(iter(self._looked_at))]
        mark = int.from_bytes(hashlib.blake2b(conversation.encode("utf-8", "replace"), digest_size=4).digest(), "big")
        if mark in self._looked_at:
            return False
        self._looked_at[mark] = event
        return True

    def snapshot(self) -> ConversationsState:
        """Return an immutable copy of the state."""
        return ConversationsState(looked_at=list(self._looked_at.items()))

    def restore(self, state: ConversationsState) -> None:
        """Continue from a snapshot."""
        self._looked_at = dict(state.looked_at)
