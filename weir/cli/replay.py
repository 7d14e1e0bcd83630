"""``weir replay``."""

import asyncio
import contextlib
import signal
from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec

from detectors.registry import ALERTING
from stream.kafka.clients import needs_kafka
from stream.replay.plan import ReplayRequest
from stream.replay.report import Observe, Report
from stream.replay.run import ReplaySettings, replay
from stream.replay.versions import Versions
from weir.cli.options import WholeRange, json_option
from weir.cli.render.output import print_json, screen
from weir.cli.render.progress import progress_on_stderr
from weir.cli.render.replay_diff import replay_view
from weir.client import effective_kafka, parse_since
from weir.errors import SettingsError
from weir.home.compute import decided
from weir.settings import Settings, load_settings
from weir.settings.detector_options import check_detector_options

#: By default, alerts on single events resolve after five minutes; a longer warm-up finds alerts that fire at the start.
_TEXT_WARM_UP_SECONDS = 600.0
_INTERRUPTED = 130


@click.command("replay")
@click.option(
    "--from", "since", required=True, metavar="WHEN", help="Start: a duration before now (2h, 1d) or a time (RFC 3339)."
)
@click.option("--to", "until", metavar="WHEN", help="End, in the same format; default: the newest record.")
@click.option(
    "--detector",
    required=True,
    metavar="NAME[@VERSION]",
    help=f"One of {', '.join(ALERTING)}; VERSION: a version, a variant from the settings, or installed (the default).",
)
@click.option(
    "--against",
    default="recorded",
    metavar="NAME@VERSION",
    show_default=True,
    help="Version to compare with; recorded: the recorded verdicts and findings.",
)
@click.option("--tenant", default="*", metavar="PATTERN", show_default=True, help="Replay only tenants that match.")
@click.option(
    "--warm-up",
    metavar="DURATION|all",
    help="Time before --from that only builds state; default: 10m; for stream detectors: all retained signals.",
)
@click.option(
    "--windows",
    type=WholeRange(0),
    default=3,
    show_default=True,
    help="Alerts that open at most this many windows apart count as one alert that moved.",
)
@click.option("--workers", type=WholeRange(1), help="Number of model processes; default: [score] workers.")
@click.option("--no-publish", is_flag=True, help="Only print the diff; does not write to Kafka.")
@json_option
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Also write the JSON to this file.")
def replay_command(
    *,
    since: str,
    until: str | None,
    detector: str,
    against: str,
    tenant: str,
    warm_up: str | None,
    windows: int,
    workers: int | None,
    no_publish: bool,
    as_json: bool,
    output: Path | None,
) -> None:
    """Run a version of a detector over past events, and compare its alerts with those of another version.

    The replay uses no consumer group. It writes its findings and alerts to the topic weir.replay; the alerts, findings and
    retraining events of the stack do not change. docs/replay.md explains the diff.

    \b
    Examples:
      weir replay --from 1d --detector toxicity
      weir replay --from 2h --to 1h --detector toxicity@strict --tenant 'acme*'
      weir replay --from 1d --detector drift@eager --against drift@installed --json | jq .diff.by
    """
    if output is not None and not output.parent.is_dir():
        raise SettingsError(
            f"--output {output}: the folder {output.parent} does not exist; create it, or name another file"
        )
    loaded = load_settings()
    check_detector_options(loaded)
    settings = decided(loaded.settings)
    known = Versions(settings.detectors)
    version = known.resolve(detector)
    now = datetime.now(UTC)
    request = ReplayRequest(
        detector=version,
        against=known.resolve(f"{version.detector}@recorded" if against == "recorded" else against),
        since=_timestamp(since, now),
        until=now.timestamp() if until is None else _timestamp(until, now),
        warm_up_seconds=_warm_up(warm_up, now, over_streams=version.over_streams),
        tenant=tenant,
        windows=windows,
        publish=not no_publish,
    )
    report = _run(request, _settings(settings, workers))
    if as_json:
        print_json(report)
    else:
        screen().print(replay_view(report))
    if output is not None:  # last, so that the diff is printed even if the disk is full
        output.write_bytes(msgspec.json.encode(report) + b"\n")


def _timestamp(text: str, now: datetime) -> float:
    found = parse_since(text, now)
    assert found is not None
    return found.timestamp()


def _warm_up(text: str | None, now: datetime, *, over_streams: bool) -> float | None:
    if text is None:
        return None if over_streams else _TEXT_WARM_UP_SECONDS
    if text == "all":
        return None
    try:
        seconds = now.timestamp() - _timestamp(text, now)
    except SettingsError:
        raise SettingsError(f"--warm-up {text!r} is not a duration; give 10m, 1h, or `all`") from None
    if seconds < 0:
        raise SettingsError(f"--warm-up {text!r} is in the future; give 10m, 1h, or `all`")
    return seconds


def _settings(settings: Settings, workers: int | None) -> ReplaySettings:
    return ReplaySettings(
        kafka=effective_kafka(settings),
        watch=settings.watch,
        score=settings.score.model_copy(update={"workers": workers}) if workers else settings.score,
        patterns=settings.tenants,
        archive=settings.archive.url,
    )


def _run(request: ReplayRequest, settings: ReplaySettings) -> Report:
    with progress_on_stderr() as show:

        def observe(done: int, total: int) -> None:
            show("replaying" if done else "loading the detector", done, total)

        with needs_kafka(settings.kafka.bootstrap_servers):
            report = asyncio.run(_until_done(request, settings, observe))
    if report is None:
        click.echo("weir: stopped before the end; nothing was compared", err=True)
        raise click.exceptions.Exit(_INTERRUPTED)
    return report


async def _until_done(request: ReplayRequest, settings: ReplaySettings, observe: Observe) -> Report | None:
    """Run the replay and return its report; after Ctrl-C or SIGTERM, close everything and return None."""
    work = asyncio.create_task(replay(request, settings, observe))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError, ValueError, RuntimeError):
            loop.add_signal_handler(number, work.cancel)
    observe(0, 0)
    await asyncio.wait({work})
    return None if work.cancelled() else work.result()
