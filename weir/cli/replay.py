"""``weir replay``."""

import asyncio
import contextlib
import signal
from datetime import UTC, datetime
from pathlib import Path

import click
import msgspec

from stream.errors import BrokerError
from stream.kafka.clients import BROKER_ERRORS
from stream.replay.plan import ReplayRequest
from stream.replay.report import Observe, Progress, Report
from stream.replay.run import ReplaySettings, replay
from stream.replay.versions import REPLAYABLE, Versions
from weir.cli.render.replay_diff import replay_view
from weir.cli.render.replay_progress import showing
from weir.cli.render.status import screen
from weir.client import effective_kafka, parse_since
from weir.errors import SettingsError
from weir.settings import Settings, load_settings
from weir.settings.detector_options import refuse_bad_options

__all__ = ["replay_command"]

#: An alert of single events resolves after five minutes by default; what fires at the range's start is known by then.
_TEXT_WARM_UP_SECONDS = 600.0
_INTERRUPTED = 130


@click.command("replay")
@click.option(
    "--from", "since", required=True, metavar="WHEN", help="A duration before now (2h, 1d) or a moment (RFC 3339)."
)
@click.option("--to", "until", metavar="WHEN", help="The same; default: where the log ends now.")
@click.option(
    "--detector",
    required=True,
    metavar="NAME[@VERSION]",
    help=f"One of {', '.join(REPLAYABLE)}, with a variant of the settings, a version, or @installed (the default).",
)
@click.option(
    "--against",
    default="recorded",
    metavar="NAME@VERSION",
    show_default=True,
    help="What its alerts are compared with.",
)
@click.option("--tenant", default="*", metavar="PATTERN", show_default=True, help="Tenants that match it.")
@click.option(
    "--warm-up",
    metavar="DURATION|all",
    help="So much before --from is read for the state alone; default: 10m, for drift and anomaly all that is retained.",
)
@click.option(
    "--windows",
    type=click.IntRange(0),
    default=3,
    show_default=True,
    help="How many windows apart two alerts may open and still be one that moved.",
)
@click.option("--workers", type=click.IntRange(1), help="Model processes; default: [score] workers.")
@click.option("--no-publish", is_flag=True, help="Print the diff alone; needs no right to write to Kafka.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON value.")
@click.option("--output", type=click.Path(dir_okay=False, path_type=Path), help="Write the JSON to a file, too.")
def replay_command(  # noqa: PLR0913 - the options of the command
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
    """Run a version of a detector over past events, and print how its alerts differ from another's.

    Reads Kafka without a group and commits nothing. What the version finds goes to the topic weir.replay; alerts, findings and
    retraining events of the stack are not touched. docs/replay.md says how to read the diff.

    \b
    Examples:
      weir replay --from 1d --detector toxicity
      weir replay --from 2h --to 1h --detector toxicity@strict --tenant 'acme*'
      weir replay --from 1d --detector drift@eager --against drift@installed --json | jq .diff.by
    """  # noqa: D301 - click's \b keeps the lines as they are
    if output is not None and not output.parent.is_dir():
        raise SettingsError(f"--output {output}: {output.parent} is no folder; make it, or name another file")
    loaded = load_settings()
    refuse_bad_options(loaded)
    settings = loaded.settings
    known = Versions(settings.detectors)
    version = known.resolve(detector)
    now = datetime.now(UTC)
    asked = ReplayRequest(
        detector=version,
        against=known.resolve(f"{version.detector}@recorded" if against == "recorded" else against),
        since=_moment(since, now),
        until=now.timestamp() if until is None else _moment(until, now),
        warm_up_seconds=_warm_up(warm_up, now, over_streams=version.over_streams),
        tenant=tenant,
        windows=windows,
        publish=not no_publish,
    )
    report = _run(asked, _settings(settings, workers))
    text = msgspec.json.encode(report).decode()
    if as_json:
        click.echo(text)
    else:
        screen().print(replay_view(report))
    if output is not None:  # last: a full disk does not take the diff along
        output.write_text(text + "\n", encoding="utf-8")


def _moment(text: str, now: datetime) -> float:
    moment = parse_since(text, now)
    assert moment is not None
    return moment.timestamp()


def _warm_up(text: str | None, now: datetime, *, over_streams: bool) -> float | None:
    if text is None:
        return None if over_streams else _TEXT_WARM_UP_SECONDS
    if text == "all":
        return None
    try:
        seconds = now.timestamp() - _moment(text, now)
    except SettingsError:
        raise SettingsError(f"--warm-up {text!r} is no duration; give 10m, 1h, or `all`") from None
    if seconds < 0:
        raise SettingsError(f"--warm-up {text!r} is in the future; give 10m, 1h, or `all`")
    return seconds


def _settings(settings: Settings, workers: int | None) -> ReplaySettings:
    return ReplaySettings(
        kafka=effective_kafka(settings),
        watch=settings.watch,
        score=settings.score,
        patterns=settings.tenants,
        workers=workers or settings.score.workers,
    )


def _run(asked: ReplayRequest, settings: ReplaySettings) -> Report:
    with showing() as observe:
        try:
            report = asyncio.run(_until_done(asked, settings, observe))
        except BROKER_ERRORS as error:
            raise BrokerError(
                f"Kafka at {settings.kafka.bootstrap_servers} does not answer ({type(error).__name__}); start the stack with "
                "`weir up`, or set WEIR_KAFKA__BOOTSTRAP_SERVERS to a broker that runs"
            ) from error
    if report is None:
        click.echo("weir: stopped before the end; nothing was compared", err=True)
        raise click.exceptions.Exit(_INTERRUPTED)
    return report


async def _until_done(asked: ReplayRequest, settings: ReplaySettings, observe: Observe) -> Report | None:
    """Run the replay; None where Ctrl-C or SIGTERM ended it, with everything closed."""
    work = asyncio.create_task(replay(asked, settings, observe))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError, ValueError, RuntimeError):
            loop.add_signal_handler(number, work.cancel)
    observe(Progress(done=0, total=0, events_per_second=0.0, left_seconds=None))
    await asyncio.wait({work})
    return None if work.cancelled() else work.result()
