"""The last observations one by one: where a change began, and what to take back out of a history that it entered."""

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

__all__ = ["MEMORY", "Change", "Recent", "Remembered"]

#: Observations that are remembered, at most.
MEMORY: Final = 160
_SURE: Final = 1e-9
_RAREST: Final = 1e-3
Fell = NDArray[np.bool_]
#: An observation's event, time, slot of the day, whether it was learned, and, packed, which regions it fell into and which it has a score for.
Remembered = tuple[int, float, int, bool, bytes]


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """When a region's share changed, by event and time, and the share before and since; all events where nothing is known."""

    event: float
    time: float
    share_before: float
    share_since: float


class Recent:
    """Observations as the regions saw them.

    Parameters
    ----------
    size
        How many regions there are.
    """

    def __init__(self, size: int) -> None:
        self._size = size
        self._rows: deque[Remembered] = deque(maxlen=MEMORY)

    def append(self, event: int, time: float, slot: int, fell: Fell, *, learned: bool) -> None:
        """Remember one: ``fell`` is (2, m), what it is inside and what it has a score for."""
        self._rows.append((event, time, slot, learned, np.packbits(fell).tobytes()))

    def extend(self, moments: Sequence[tuple[int, float, int]], fell: Fell) -> None:
        """Remember several that were learned: event, time and slot of each, and ``fell``, (n, 2, m)."""
        packed = np.packbits(fell.reshape(len(fell), 2 * self._size), axis=1)
        width, data = packed.shape[1], packed.tobytes()
        self._rows.extend(
            (event, time, slot, True, data[place * width : (place + 1) * width])
            for place, (event, time, slot) in enumerate(moments)
        )

    def _packed(self) -> NDArray[np.uint8]:
        data = b"".join([row[-1] for row in self._rows])
        return np.frombuffer(data, dtype=np.uint8).reshape(len(self._rows), -1)

    def _fell(self) -> Fell:
        bits = np.unpackbits(self._packed(), axis=1, count=2 * self._size)
        return bits.reshape(-1, 2, self._size).astype(np.bool_)

    def change(self, region: int, before: float) -> Change:
        """Return when a region's share most likely rose above ``before``.

        That is where the likelihood of the share since then, over the likelihood of the share before, is greatest.
        """
        if not self._rows:
            return Change(event=0.0, time=0.0, share_before=before, share_since=before)
        packed = self._packed()
        inside, seen = (packed[:, bit // 8] >> (7 - bit % 8) & 1 for bit in (region, self._size + region))
        kept = np.flatnonzero(seen)
        if not len(kept):
            return Change(event=0.0, time=0.0, share_before=before, share_since=before)
        many = np.arange(len(kept), 0, -1)
        since = np.cumsum(inside[kept][::-1])[::-1] / many
        base = min(max(before, _RAREST), 1.0 - _RAREST)
        share = np.clip(since, _SURE, 1.0 - _SURE)
        gain = many * (share * np.log(share / base) + (1.0 - share) * np.log((1.0 - share) / (1.0 - base)))
        first = int(np.argmax(np.where(since > base, gain, 0.0)))
        event, time, *_ = self._rows[int(kept[first])]
        return Change(event=float(event), time=time, share_before=before, share_since=float(since[first]))

    def take_back(self, since: float) -> Iterator[tuple[int, Fell]]:
        """Yield the slot and the (2, m) of each observation that was learned from event ``since`` on; then it no longer counts as such."""
        fell = self._fell()
        for place, (event, time, slot, learned, packed) in enumerate(self._rows):
            if learned and event >= since:
                self._rows[place] = (event, time, slot, False, packed)
                yield slot, fell[place]

    def snapshot(self) -> list[Remembered]:
        """Return an immutable copy of the state."""
        return list(self._rows)

    def restore(self, state: list[Remembered]) -> None:
        """Continue from a snapshot.

        Raises
        ------
        ValueError
            It is of another number of regions.
        """
        expected, found = (2 * self._size + 7) // 8, sorted({len(row[-1]) for row in state})
        if found not in ([], [expected]):
            raise ValueError(f"an observation of {self._size} regions has {expected} bytes, the state's have {found}")
        self._rows = deque(state, maxlen=MEMORY)
