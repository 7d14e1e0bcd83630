"""What a replay is to do, and the id that follows from it."""

from fnmatch import fnmatchcase

import msgspec

from stream.replay.versions import Version
from stream.settings import TenantSettings, WatchSettings
from stream.stages.watch.machine import Tenants
from stream.wire import LogRange, TopicNames
from stream.wire.ids import replay_id

__all__ = ["ReplayRequest", "Plan"]

_CANONICAL = msgspec.json.Encoder(order="deterministic")


class ReplayRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What a person asks for.

    Parameters
    ----------
    detector, against
        The version to run, and the one that its alerts are compared with.
    since, until
        Alerts that opened in [`since`, `until`) are compared; seconds since the epoch, log time.
    warm_up_seconds
        So much before `since` is read for the state alone; None: all that is retained.
    tenant
        Tenants that match this pattern.
    windows
        How many windows apart two alerts may open and still be one that moved.
    publish
        Whether findings and alerts go to the shadow topic.
    """

    detector: Version
    against: Version
    since: float
    until: float
    warm_up_seconds: float | None = None
    tenant: str = "*"
    windows: int = 3
    publish: bool = True

    @property
    def start(self) -> float | None:
        """The first event time that is read."""
        return None if self.warm_up_seconds is None else self.since - self.warm_up_seconds

    @property
    def versions(self) -> tuple[Version, Version]:
        """What is compared against, and the version to run."""
        return self.against, self.detector

    def covers(self, tenant: str, time: float) -> bool:
        """Whether an event is to be read, for what it is or for the state."""
        return time < self.until and self.after_start(tenant, time)

    def after_start(self, tenant: str, time: float) -> bool:
        """Whether what is of `time` belongs to this replay, wherever it ends."""
        return (self.start is None or time >= self.start) and fnmatchcase(tenant, self.tenant)

    def compares(self, opened_at: float) -> bool:
        """Whether an alert that opened then is compared."""
        return self.since <= opened_at < self.until


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What is asked, and what is there.

    Parameters
    ----------
    names
        Topic names.
    ranges
        What is read of each topic.
    partitions, stream_partitions
        P and Q, as they are in the broker.
    tenants, watch
        Settings that the stages go by.
    """

    asked: ReplayRequest
    names: TopicNames
    ranges: tuple[LogRange, ...]
    partitions: int
    stream_partitions: int
    tenants: Tenants
    watch: WatchSettings

    def identity(self, patterns: dict[str, TenantSettings]) -> str:
        """Return the replay's id: the same offsets, versions and rules give the same one, and the same results.

        Parameters
        ----------
        patterns
            Settings by tenant pattern: what the watch and the alert stage go by.
        """
        asked = self.asked
        rule = {
            "since": asked.since,
            "until": asked.until,
            "start": asked.start,
            "tenant": asked.tenant,
            "windows": asked.windows,
            "silence": self.watch.source_silence_seconds,
            "tenants": {pattern: settings.model_dump(mode="json") for pattern, settings in patterns.items()},
        }
        texts = (_CANONICAL.encode(part).decode() for part in (self.ranges, asked.versions, rule))
        return replay_id(*texts)
