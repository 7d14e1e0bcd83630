"""A replay on Kafka: fix the offsets, run both versions, compare their alerts."""

import asyncio
import functools
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import msgspec
from aiokafka import AIOKafkaConsumer

from detectors.errors import DetectorError
from stream.errors import ReplayError
from stream.kafka.clients import consumer_for
from stream.kafka.range_reader import RangeReader
from stream.kafka.topic_checks import partition_counts
from stream.replay.alert_diff import compare
from stream.replay.notes import Found, notes
from stream.replay.offset_ranges import Left, ranges_of, topics_of, what_is_left
from stream.replay.plan import Plan, ReplayRequest
from stream.replay.progress import Meter
from stream.replay.report import Observe, Report, VersionSummary
from stream.replay.shadow_topic import NoShadow, Sink, shadow
from stream.replay.stream_replay import StreamReplay
from stream.replay.text_replay import Scoring, TextReplay
from stream.replay.versions import Version, create_version, stream_version
from stream.settings import KafkaSettings, ScoreSettings, TenantSettings, WatchSettings, tenant_settings
from stream.stages.score.model_pool import ModelPool
from stream.stages.score.model_process import EngineSpec
from stream.wire import format_time

__all__ = ["ReplaySettings", "replay"]

_TENANTS = 100_000


class ReplaySettings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings that a replay goes by: those of the stack, as they are now.

    Parameters
    ----------
    patterns
        Settings by tenant name or pattern.
    """

    kafka: KafkaSettings
    watch: WatchSettings
    score: ScoreSettings
    patterns: Mapping[str, Mapping[str, Any]]


async def replay(asked: ReplayRequest, settings: ReplaySettings, observe: Observe = lambda _: None) -> Report:
    """Run a replay and return what it found.

    Reads without a group and commits nothing; writes to the shadow topic alone.

    Parameters
    ----------
    asked
        What is asked for.
    settings
        The stack's.
    observe
        VersionSummary how far it is, a few times a second.

    Raises
    ------
    ReplayError
        A topic is missing, nothing of the range is left, or the log expires while it is read.
    stream.errors.ModelsLost
        The detectors cannot be loaded.
    aiokafka.errors.KafkaError
        Kafka does not answer.
    """
    _check(asked, settings)
    options, names = settings.kafka.client_options(), settings.kafka.names
    counts = await _counts(settings.kafka, asked)
    main = topics_of(names, asked)[0]
    async with consumer_for(options) as consumer:
        left = await what_is_left(consumer, main, counts[main])
        plan = Plan(
            asked=asked,
            names=names,
            ranges=await ranges_of(consumer, names, counts, asked, time.time()),
            partitions=counts[names.inference],
            stream_partitions=counts[names.signals],
            tenants=_tenants(settings.patterns),
            watch=settings.watch,
        )
        _refuse_expired(plan, left)
        return await _run(plan, settings, consumer, left, observe)


async def _run(
    plan: Plan, settings: ReplaySettings, consumer: AIOKafkaConsumer, left: Left, observe: Observe
) -> Report:
    asked = plan.asked
    identity = plan.identity({pattern: tenant_settings(settings.patterns, pattern) for pattern in settings.patterns})
    main = plan.ranges[0]
    async with AsyncExitStack() as stack:
        scoring = await stack.enter_async_context(_models(asked, settings))
        sink: Sink = NoShadow()
        if asked.publish:
            target = shadow(settings.kafka.client_options(), plan.names.replay, identity, asked.since)
            sink = await stack.enter_async_context(target)
        meter = Meter(sum(main.last[number] - first for number, first in main.first.items()), observe)
        reader = RangeReader(consumer, plan.ranges)
        if asked.detector.over_streams:
            found = await _streams(StreamReplay(plan, reader, sink, meter))
        else:
            found = await _texts(TextReplay(plan, reader, scoring, sink, meter))
    return _report(plan, identity, left, found, meter)


async def _streams(work: StreamReplay) -> Found:
    await work.run()
    return Found(alerts=work.alerts, findings=(work.findings[0], work.findings[1]), behind=work.behind)


async def _texts(work: TextReplay) -> Found:
    await work.run()
    before, after = work.timelines
    return Found(
        alerts=(list(before.alerts), list(after.alerts)),
        findings=(before.findings, after.findings),
        flips=work.flips,
    )


def _report(plan: Plan, identity: str, left: Left, found: Found, meter: Meter) -> Report:
    asked = plan.asked
    told = [
        VersionSummary(
            name=version.name,
            version=version.version,
            findings=findings,
            alerts=sum(asked.compares(alert.opened_at) for alert in alerts),
        )
        for version, findings, alerts in zip(asked.versions, found.findings, found.alerts, strict=True)
    ]
    diff = compare(*found.alerts, windows=asked.windows, counts=lambda alert: asked.compares(alert.opened_at))
    return Report(
        replay_id=identity,
        detector=told[1],
        against=told[0],
        since=asked.since,
        until=asked.until,
        warm_up_seconds=asked.warm_up_seconds,
        tenant=asked.tenant,
        topic=plan.names.replay if asked.publish else None,
        offsets=plan.ranges,
        events=meter.events,
        diff=diff,
        flips=found.flips,
        notes=notes(asked, left, found, meter.events),
        run=meter.run(),
    )


@asynccontextmanager
async def _models(asked: ReplayRequest, settings: ReplaySettings) -> AsyncIterator[Scoring | None]:
    """Run the model processes with every text detector that scores; None where there is none."""
    versions = {version.name: version for version in asked.versions if not version.recorded}
    if asked.detector.over_streams or not versions:
        yield None
        return
    spec = EngineSpec(
        detectors=tuple(versions),
        options={name: version.options for name, version in versions.items()},
        threads=settings.score.threads,
        create=create_version,
        embedder=None,
    )
    pool = ModelPool(spec, workers=settings.score.workers, deadline_seconds=settings.score.deadline_seconds)
    try:
        await pool.start()
        yield Scoring(pool, settings.score.batch_events, settings.score.workers)
    finally:
        await asyncio.shield(pool.stop())


def _check(asked: ReplayRequest, settings: ReplaySettings) -> None:
    """Refuse what cannot be run, before anything is read."""
    if asked.since >= asked.until:
        raise ReplayError(
            f"from {format_time(asked.since)} is not before to {format_time(asked.until)}; swap them, or widen the range"
        )
    before, after = asked.versions
    if before.detector != after.detector:
        raise ReplayError(
            f"{after.name} cannot be compared with {before.name}: give --against a version of {after.detector}"
        )
    for version in asked.versions:
        if version.over_streams and not version.recorded:
            _check_options(version, settings)


def _check_options(version: Version, settings: ReplaySettings) -> None:
    for pattern in ("", *settings.patterns):
        try:
            stream_version(version, tenant_settings(settings.patterns, pattern))
        except DetectorError as error:
            raise ReplayError(f"{version.name} for tenant {pattern!r}: {error}") from error


async def _counts(kafka: KafkaSettings, asked: ReplayRequest) -> dict[str, int]:
    names = kafka.names
    needed = {names.inference, names.signals, *topics_of(names, asked), *([names.replay] if asked.publish else [])}
    counts = await partition_counts(kafka.client_options(), sorted(needed))
    missing = sorted(needed - counts.keys())
    if missing:
        rest = "; --no-publish does without the shadow topic" if missing == [names.replay] else ""
        raise ReplayError(
            f"no topic {', '.join(missing)} at {kafka.bootstrap_servers}; make it with `weir topics create`, or set "
            f"WEIR_KAFKA__TOPIC_PREFIX{rest}"
        )
    return counts


def _refuse_expired(plan: Plan, left: Left) -> None:
    """Refuse a range of which no record is left. What was produced late, after an outage, is left for longer."""
    asked, main = plan.asked, plan.ranges[0]
    begins_later = left.since is None or left.since > asked.since
    if not left.expired or not begins_later or any(main.last[number] > first for number, first in main.first.items()):
        return
    what = "nothing is left" if left.since is None else f"what is left was produced from {format_time(left.since)} on"
    raise ReplayError(
        f"the range up to {format_time(asked.until)} has expired: of {main.topic} {what}; begin there, or keep more: [kafka] "
        "retention_hours and retention_bytes"
    )


def _tenants(patterns: Mapping[str, Mapping[str, Any]]) -> Any:
    """Return settings by tenant, worked out once each."""

    @functools.lru_cache(maxsize=_TENANTS)
    def of(tenant: str) -> TenantSettings:
        return tenant_settings(patterns, tenant)

    return of
