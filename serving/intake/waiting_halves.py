"""Limits on the stored halves of exchanges, which all tenants share: their number and their bytes."""

from collections import Counter
from collections.abc import Iterable

import msgspec

from serving.errors import HalvesFull
from serving.settings import IntakeSettings
from stream.count_text import count_text


class _Origin(msgspec.Struct, frozen=True):
    tenant: str = ""


class _Stored(msgspec.Struct, frozen=True):
    origin: _Origin = _Origin()


_STORED = msgspec.json.Decoder(_Stored)


class WaitingHalves:
    """Counts the stored halves; only one process uses their file.

    A tenant may store as much as the tenants together leave free: alone at most half of a limit, and some room is left for the others.
    """

    def __init__(self, settings: IntakeSettings) -> None:
        self._settings = settings
        self._halves = Counter[str]()
        self._bytes = Counter[str]()
        self.total = self._total_bytes = 0

    def add(self, rows: Iterable[tuple[bytes]]) -> None:
        """Count stored halves."""
        for (stored,) in rows:
            self._count(stored, 1)

    def remove(self, rows: Iterable[tuple[bytes]]) -> None:
        """Count deleted halves."""
        for (stored,) in rows:
            self._count(stored, -1)

    def _count(self, stored: bytes, change: int) -> None:
        tenant, size = _tenant_of(stored), change * len(stored)
        self._halves[tenant] += change
        self._bytes[tenant] += size
        self.total += change
        self._total_bytes += size

    def check(self, tenant: str, size: int, *, known: bool, completes: bool) -> None:
        """Raise HalvesFull if a half of `size` bytes does not fit. `known` is whether another part of its exchange is stored.

        A half that completes an exchange (`completes`) soon frees room, so the tenant's share does not apply to it.
        """
        limit, most = self._settings.held_limit, self._settings.held_bytes
        halves, used = self._halves[tenant], self._bytes[tenant]
        free, free_bytes = limit - self.total, most - self._total_bytes
        if (known or halves < free) and (0 if completes else used) + size <= free_bytes:
            return
        raise HalvesFull(
            f"{count_text(halves, 'half of an exchange', 'halves of exchanges')} of the tenant {tenant} ({used} bytes) wait for the other, and a half of"
            f" {size} bytes does not fit: a tenant may use as much as is free, {free} of {limit} halves (intake.held_limit) and {free_bytes} of {most} bytes"
            " (intake.held_bytes); send it again, or send both halves (KServe's mode: all; spans and log records of OpenTelemetry)"
        )


def _tenant_of(stored: bytes) -> str:
    """Return the tenant of a stored half, or "" if the half is unreadable."""
    try:
        return _STORED.decode(stored).origin.tenant
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return ""
