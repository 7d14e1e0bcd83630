"""The last observations of a stream, which show when a change began and can be removed from the history."""

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Final

import msgspec
import numpy as np
from numpy.typing import NDArray

#: Number of observations kept.
MEMORY: Final = 160
_MIN_SHARE: Final = 1e-9
_MIN_BASE: Final = 1e-3
#: For each of m regions: whether the value is in the region, and whether the region's score exists, (2, m).
Flags = NDArray[np.bool_]
#: Event number, time, half-hour of the day, whether the observation was added to the history, and its packed `Flags`.
PackedObservation = tuple[int, float, int, bool, bytes]


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """The start of a change, and the share of values in a region before and since the start.

    The start is an event number and a time; both are 0 if the start is unknown.
    """

    event: float
    time: float
    share_before: float
    share_since: float


class RecentObservations:
    """The last `MEMORY` observations, with flags that show which of ``size`` regions contain the value."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._rows: deque[PackedObservation] = deque(maxlen=MEMORY)

    def append(self, event: int, time: float, slot: int, flags: Flags, *, learned: bool) -> None:
        """Add one observation."""
        self._rows.append((event, time, slot, learned, np.packbits(flags).tobytes()))

    def extend(self, events: Sequence[tuple[int, float, int]], flags: Flags) -> None:
        """Add n learned observations: the (event number, time, slot) of each, and flags of shape (n, 2, regions)."""
        packed = np.packbits(flags.reshape(len(flags), 2 * self._size), axis=1)
        width, data = packed.shape[1], packed.tobytes()
        self._rows.extend(
            (event, time, slot, True, data[index * width : (index + 1) * width])
            for index, (event, time, slot) in enumerate(events)
        )

    def clear(self) -> None:
        """Remove all observations."""
        self._rows.clear()

    def _packed(self) -> NDArray[np.uint8]:
        data = b"".join([row[-1] for row in self._rows])
        return np.frombuffer(data, dtype=np.uint8).reshape(len(self._rows), (2 * self._size + 7) // 8)

    def _flags(self) -> Flags:
        bits = np.unpackbits(self._packed(), axis=1, count=2 * self._size)
        return bits.reshape(-1, 2, self._size).astype(np.bool_)

    def change(self, region: int, before: float) -> Change:
        """Return the maximum-likelihood start of a change that raised a region's share of values above ``before``."""
        if not self._rows:
            return Change(event=0.0, time=0.0, share_before=before, share_since=before)
        packed = self._packed()
        inside, seen = (packed[:, bit // 8] >> (7 - bit % 8) & 1 for bit in (region, self._size + region))
        kept = np.flatnonzero(seen)
        if not len(kept):
            return Change(event=0.0, time=0.0, share_before=before, share_since=before)
        many = np.arange(len(kept), 0, -1)
        since = np.cumsum(inside[kept][::-1])[::-1] / many
        base = min(max(before, _MIN_BASE), 1.0 - _MIN_BASE)
        share = np.clip(since, _MIN_SHARE, 1.0 - _MIN_SHARE)
        gain = many * (share * np.log(share / base) + (1.0 - share) * np.log((1.0 - share) / (1.0 - base)))
        first = int(np.argmax(np.where(since > base, gain, 0.0)))
        event, time, *_ = self._rows[int(kept[first])]
        return Change(event=float(event), time=time, share_before=before, share_since=float(since[first]))

    def drop_regions(self, regions: NDArray[np.bool_]) -> None:
        """Remove the flags of the regions that the mask ``regions``, (regions,), selects."""
        flags = self._flags() & ~regions
        for index, row in enumerate(self._rows):
            self._rows[index] = (*row[:-1], np.packbits(flags[index]).tobytes())

    def unlearn(self, since: float) -> Iterator[tuple[int, Flags]]:
        """Mark the learned observations since event ``since`` as removed; yield the slot and flags of each."""
        flags = self._flags()
        for index, (event, time, slot, learned, packed) in enumerate(self._rows):
            if learned and event >= since:
                self._rows[index] = (event, time, slot, False, packed)
                yield slot, flags[index]

    def snapshot(self) -> list[PackedObservation]:
        """Return an immutable copy of the state."""
        return list(self._rows)

    def restore(self, state: list[PackedObservation]) -> None:
        """Continue from a snapshot; raise ValueError if the state has another number of regions."""
        expected, found = (2 * self._size + 7) // 8, sorted({len(row[-1]) for row in state})
        if found not in ([], [expected]):
            raise ValueError(
                f"state has observations of {found} bytes; expected {expected} bytes, for {self._size} regions"
            )
        self._rows = deque(state, maxlen=MEMORY)
