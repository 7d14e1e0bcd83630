"""A replay on Kafka: determine the offsets, run both versions, compare their alerts."""

import asyncio
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import msgspec

from detectors.errors import DetectorError
from stream.archive.reader import ArchivedRangeReader
from stream.archive.segments import Archive
from stream.errors import ReplayError
from stream.kafka.clients import consumer_for
from stream.kafka.topic_checks import partition_counts, required_counts
from stream.replay.alert_diff import compare
from stream.replay.notes import ReplayResults, notes
from stream.replay.offset_ranges import RetainedLog, offset_ranges, retained_log, topics_of
from stream.replay.plan import ReplayPlan, ReplayRequest
from stream.replay.progress import ProgressMeter
from stream.replay.report import Observe, Report, VersionSummary
from stream.replay.shadow_topic import shadow_topic
from stream.replay.stream_replay import StreamReplay
from stream.replay.text_replay import TextReplay, TextScoring
from stream.replay.versions import Version, create_version, stream_version
from stream.settings import KafkaSettings, ScoreSettings, WatchSettings, cached_tenant_settings
from stream.stages.score.model_pool import ModelPool
from stream.stages.score.model_process import ModelSpec
from stream.wire import format_time


class ReplaySettings(msgspec.Struct, frozen=True, kw_only=True):
    """The present settings of the stack.

    `patterns` is {tenant name or pattern: settings}, `archive` the address of the archive, or "" if there is none.
    """

    kafka: KafkaSettings
    watch: WatchSettings
    score: ScoreSettings
    patterns: Mapping[str, Mapping[str, Any]]
    archive: str = ""


async def replay(
    request: ReplayRequest, settings: ReplaySettings, observe: Observe = lambda _done, _total: None
) -> Report:
    """Run a replay and return its report; `observe` receives the progress.

    The replay reads without a consumer group, commits nothing, and writes only to the shadow topic. Raises TopicMissing,
    ReplayError if the records of the range have expired, and LogExpired or ReaderStalled during reading.
    Raises ModelsLost if the detectors cannot be loaded, and a KafkaError if Kafka does not answer.
    """
    _check(request, settings)
    options, names = settings.kafka.client_options(), settings.kafka.names
    topics = topics_of(names, request)
    counts = await required_counts(options, {names.inference, names.signals, *topics})
    if request.publish and not await partition_counts(options, [names.replay]):
        raise ReplayError(
            f"no topic {names.replay}; run `weir topics create`, or add --no-publish, which does not need it"
        )
    main = topics[0]
    archive = Archive(settings.archive) if settings.archive else None
    async with consumer_for(options) as consumer:
        log = await retained_log(consumer, main, counts[main], archive)
        plan = ReplayPlan(
            request=request,
            names=names,
            ranges=await offset_ranges(consumer, names, counts, request, time.time(), archive),
            partitions=counts[names.inference],
            stream_partitions=counts[names.signals],
            tenants=cached_tenant_settings(settings.patterns),
            watch=settings.watch,
        )
        _check_retained(plan, log)
        return await _run(plan, settings, await ArchivedRangeReader.open(consumer, plan.ranges, archive), log, observe)


async def _run(
    plan: ReplayPlan, settings: ReplaySettings, reader: ArchivedRangeReader, log: RetainedLog, observe: Observe
) -> Report:
    request = plan.request
    identity = plan.identity({pattern: plan.tenants(pattern) for pattern in settings.patterns})
    main = plan.ranges[0]
    async with AsyncExitStack() as stack:
        scoring = await stack.enter_async_context(_models(request, settings))
        sink = None
        if request.publish:
            shadow = shadow_topic(settings.kafka.client_options(), plan.names.replay, identity, request.since)
            sink = await stack.enter_async_context(shadow)
        meter = ProgressMeter(sum(main.last[number] - first for number, first in main.first.items()), observe)
        if request.detector.over_streams:
            results = await StreamReplay(plan, reader, sink, meter).run()
        else:
            results = await TextReplay(plan, reader, scoring, sink, meter).run()
    return _report(plan, identity, log, results, meter)


def _report(plan: ReplayPlan, identity: str, log: RetainedLog, results: ReplayResults, meter: ProgressMeter) -> Report:
    request = plan.request
    against, detector = (
        VersionSummary(
            name=version.name,
            version=version.version,
            findings=findings,
            alerts=sum(request.compares(alert.opened_at) for alert in alerts),
        )
        for version, findings, alerts in zip(request.versions, results.findings, results.alerts, strict=True)
    )
    return Report(
        replay_id=identity,
        detector=detector,
        against=against,
        since=request.since,
        until=request.until,
        warm_up_seconds=request.warm_up_seconds,
        tenant=request.tenant,
        topic=plan.names.replay if request.publish else None,
        offsets=plan.ranges,
        events=meter.events,
        diff=compare(*results.alerts, windows=request.windows, counts=lambda alert: request.compares(alert.opened_at)),
        flips=results.flips,
        notes=notes(request, log, results, meter.events),
        run=meter.statistics(),
    )


@asynccontextmanager
async def _models(request: ReplayRequest, settings: ReplaySettings) -> AsyncIterator[TextScoring | None]:
    """Run model processes with the text detectors of the versions; yield None if no version needs models."""
    versions = {version.name: version for version in request.versions if not version.recorded}
    if request.detector.over_streams or not versions:
        yield None
        return
    score = settings.score
    spec = ModelSpec(
        detectors=tuple(versions),
        options={name: version.options for name, version in versions.items()},
        threads=score.threads,
        create=create_version,
        embedder=None,
    )
    pool = ModelPool(spec, workers=score.processes, deadline_seconds=score.deadline_seconds)
    try:
        await pool.start()
        yield TextScoring(pool, score.batch_events, score.processes)
    finally:
        await asyncio.shield(pool.stop())


def _check(request: ReplayRequest, settings: ReplaySettings) -> None:
    """Reject a request that cannot run, before any record is read."""
    if request.since >= request.until:
        raise ReplayError(
            f"from {format_time(request.since)} is not before to {format_time(request.until)}; swap them, or widen the range"
        )
    before, after = request.versions
    if before.detector != after.detector:
        raise ReplayError(
            f"{after.name} cannot be compared with {before.name}: give --against a version of {after.detector}"
        )
    for version in request.versions:
        if version.over_streams and not version.recorded:
            _check_options(version, settings)


def _check_options(version: Version, settings: ReplaySettings) -> None:
    by_tenant = cached_tenant_settings(settings.patterns)
    for pattern in ("", *settings.patterns):
        try:
            stream_version(version, by_tenant(pattern))
        except DetectorError as error:
            raise ReplayError(f"{version.name} for tenant {pattern!r}: {error}") from error


def _check_retained(plan: ReplayPlan, log: RetainedLog) -> None:
    """Reject the requested range if the log no longer contains any record of this range."""
    request, main = plan.request, plan.ranges[0]
    starts_later = log.since is None or log.since > request.since
    if not log.expired or not starts_later or any(main.last[number] > first for number, first in main.first.items()):
        return
    rest = "no record" if log.since is None else f"only records that were produced from {format_time(log.since)} on"
    raise ReplayError(
        f"the records up to {format_time(request.until)} have expired, and {main.topic} has {rest}; give a later range. To "
        "keep records longer, raise [kafka] retention_hours and retention_bytes"
    )
