"""The request of a replay, the plan of a replay, and the replay's id (a hash of its plan)."""

from fnmatch import fnmatchcase

import msgspec

from stream.replay.versions import Version
from stream.settings import TenantSettings, WatchSettings
from stream.stages.watch.machine import Detectors, Tenants, WatchRules
from stream.wire import LogRange, TopicNames
from stream.wire.ids import replay_id

_CANONICAL = msgspec.json.Encoder(order="deterministic")


class ReplayRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The options of `weir replay`; the alerts of `detector`, the version to run, are compared with the alerts of `against`.

    Alerts that opened in [`since`, `until`) are compared (event times, seconds since the epoch). Events of the
    `warm_up_seconds` before `since` are read to build the detectors' state; None means from the beginning of the log.
    `tenant` is a pattern. Two alerts that opened at most `windows` windows apart can count as one alert that moved.
    With `publish`, findings and alerts go to the shadow topic.
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
        """The first event time to read, or None for the beginning of the log."""
        return None if self.warm_up_seconds is None else self.since - self.warm_up_seconds

    @property
    def versions(self) -> tuple[Version, Version]:
        """The version to compare with, and the version to run."""
        return self.against, self.detector

    def covers(self, tenant: str, time: float) -> bool:
        """Return whether an event is read: its tenant is requested and its time is in the range or the warm-up."""
        return time < self.until and self.after_start(tenant, time)

    def after_start(self, tenant: str, time: float) -> bool:
        """Return whether an event has a requested tenant and is not before the first event time to read."""
        return (self.start is None or time >= self.start) and fnmatchcase(tenant, self.tenant)

    def compares(self, opened_at: float) -> bool:
        """Return whether an alert that opened at this time is compared."""
        return self.since <= opened_at < self.until


class ReplayPlan(msgspec.Struct, frozen=True, kw_only=True):
    """A request with the offsets to read, the partitions of inference and signals, and the stages' settings."""

    request: ReplayRequest
    names: TopicNames
    ranges: tuple[LogRange, ...]
    partitions: int
    stream_partitions: int
    tenants: Tenants
    watch: WatchSettings

    def watch_rules(self, detectors: Detectors) -> WatchRules:
        """Return the rules of the watch stage, with `detectors` instead of the stage's detectors."""
        return WatchRules(
            partitions=self.partitions,
            source_silence_seconds=self.watch.source_silence_seconds,
            tenants=self.tenants,
            detectors=detectors,
        )

    def identity(self, patterns: dict[str, TenantSettings]) -> str:
        """Return the id of the replay. Equal offsets, versions and settings give the same id and the same results.

        `patterns` is {tenant pattern: settings of the watch and alert stages}.
        """
        request = self.request
        rule = {
            "since": request.since,
            "until": request.until,
            "start": request.start,
            "tenant": request.tenant,
            "windows": request.windows,
            "silence": self.watch.source_silence_seconds,
            "outstanding": self.watch.outstanding_events,
            "tenants": {pattern: settings.model_dump(mode="json") for pattern, settings in patterns.items()},
        }
        texts = (_CANONICAL.encode(part).decode() for part in (self.ranges, request.versions, rule))
        return replay_id(*texts)
