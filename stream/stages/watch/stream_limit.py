"""The limit of a tenant's streams: clients can invent names of models, and each new name adds a row to watch's table."""

#: Most streams of a tenant in one partition of signals.
STREAMS_PER_TENANT = 1000


class StreamLimit:
    """Finds the streams to remove: above the limit, a tenant's streams whose last window with events is the oldest."""

    def __init__(self) -> None:
        self._ends: dict[str, dict[str, float]] = {}
        self._above: set[str] = set()

    def closed(self, key: str, end: float) -> None:
        """Note that the last closed window with events of stream `key` ends at `end`."""
        tenant = key.partition("\x1f")[0]
        ends = self._ends.setdefault(tenant, {})
        ends[key] = end
        if len(ends) > STREAMS_PER_TENANT:
            self._above.add(tenant)

    def remove(self, watermark: float) -> list[str]:
        """Forget the streams to remove at `watermark`, and return their keys.

        A window that ends later was closed before a restart, after which the stage continues from an earlier watermark. There, it does not count.
        """
        removed: list[str] = []
        for tenant in sorted(self._above):
            ends = self._ends[tenant]
            surplus = sorted((end, key) for key, end in ends.items() if end <= watermark)[:-STREAMS_PER_TENANT]
            removed += [key for _, key in surplus]
            for _, key in surplus:
                del ends[key]
        self._above = {tenant for tenant in self._above if len(self._ends[tenant]) > STREAMS_PER_TENANT}
        return removed
