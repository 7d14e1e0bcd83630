"""``weir dlq``."""

import asyncio
from collections import Counter
from functools import partial

import click

from stream.dead_letters import DISPOSITIONS
from stream.settings import KafkaSettings
from weir.cli.options import WholeRange, json_option, since_option
from weir.cli.render.dead_letter import letter_lines
from weir.cli.render.output import print_json, print_result, print_rows
from weir.cli.render.progress import progress_on_stderr
from weir.client import effective_kafka, parse_since
from weir.client.times import format_time
from weir.dead_letters.letter import DeadLetter
from weir.dead_letters.replay import FAILED, REPLAYED_NOW, SKIPPED, WOULD_REPLAY, Outcome, replay
from weir.dead_letters.topic_reader import DeadLetterTopic
from weir.home.access_log import log_access
from weir.settings import load_settings

_STAGES = ("score", "watch", "alert", "retrain")
_stage_option = click.option("--stage", type=click.Choice(_STAGES), help="Only dead letters of this stage.")
_disposition_option = click.option(
    "--disposition", type=click.Choice(DISPOSITIONS), help="Only dead letters with this kind of failure."
)


@click.group()
def dlq() -> None:
    """List, show and replay dead letters: records that a stage could not decode or process.

    The number of a dead letter is its offset on the topic weir.inference.dlq.

    \b
    Examples:
      weir dlq list --since 1h
      weir dlq show 17
      weir dlq replay 17
    """


@dlq.command("list")
@_stage_option
@_disposition_option
@since_option
@json_option
def list_letters(*, stage: str | None, disposition: str | None, since: str | None, as_json: bool) -> None:
    """List dead letters, oldest first. A row has source, stage and error, but not the content.

    \b
    Examples:
      weir dlq list
      weir dlq list --stage score --disposition timeout --since 1d
      weir dlq list --json | jq -r '.[] | select(.replayed_at == null) | .offset'
    """
    letters = _letters(effective_kafka(load_settings().settings), since)
    found = _selected(letters, stage, disposition)
    columns = [
        "offset",
        "time",
        "stage",
        "source",
        "disposition",
        "exception",
        "attempt",
        "bytes",
        "request",
        "replayed",
    ]
    given = {"since": since, "of stage": stage, "with disposition": disposition}
    selection = "".join(f" {name} {value}" for name, value in given.items() if value)
    print_rows(found, columns, [_row(letter) for letter in found], f"no dead letters{selection}", as_json=as_json)


@dlq.command("show")
@click.argument("offset", type=WholeRange(min=0))
@click.option("--text", "with_text", is_flag=True, help="Also print key, value and all headers; the access is logged.")
@json_option
def show_letter(*, offset: int, with_text: bool, as_json: bool) -> None:
    """Show the metadata of one dead letter. The headers that Weir wrote are shown too.

    --text also prints the content: key, value and every header (invalid UTF-8 as \\xff). The content may be personal,
    so the access is logged in logs/access.log under WEIR_HOME. A value that was too large for the dead-letter topic is
    read from its source topic.

    \b
    Examples:
      weir dlq show 17
      weir dlq show 17 --json | jq .exception
      weir dlq show 17 --text
    """
    settings = load_settings().settings
    kafka = effective_kafka(settings)
    if with_text:
        log = log_access(settings.home, "weir dlq show --text", dead_letter=offset)
        click.echo(f"this access to the text is logged in {log}", err=True)
    shown = asyncio.run(DeadLetterTopic(kafka).letter(offset, content=with_text))
    print_result(shown, "\n".join(letter_lines(shown)), as_json=as_json)


@dlq.command("replay")
@click.argument("offsets", metavar="OFFSET...", type=WholeRange(min=0), nargs=-1)
@click.option("--all", "every", is_flag=True, help="All dead letters that were not replayed before.")
@_stage_option
@_disposition_option
@click.option("--again", is_flag=True, help="Also dead letters that were replayed before.")
@click.option("--dry-run", is_flag=True, help="Print what would be replayed; produce nothing.")
@json_option
def replay_letters(
    *,
    offsets: tuple[int, ...],
    every: bool,
    stage: str | None,
    disposition: str | None,
    again: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Replay dead letters to their source. Each is written to its topic and partition. Fix the cause of the errors first.

    Key, value and headers do not change, so ids are the same and processing is idempotent. The new verdict replaces the error
    verdict. A record that fails again becomes a new dead letter, with a higher attempt number. If a dead letter cannot be replayed,
    the command replays the others and ends with exit status 1.

    \b
    Examples:
      weir dlq replay 17 18
      weir dlq replay --all --stage score --disposition timeout --dry-run
      weir dlq replay --all --stage score --disposition timeout
    """
    if bool(offsets) == every:
        raise click.UsageError("give OFFSETs or --all; `weir dlq list` prints the offsets")
    if offsets and (stage or disposition):
        raise click.UsageError("--stage and --disposition apply to --all, not to OFFSETs")
    settings = load_settings().settings
    kafka = effective_kafka(settings)
    letters = _selected(_letters(kafka, None), stage, disposition)
    unknown: list[Outcome] = []
    if offsets:
        letters = [letter for letter in letters if letter.offset in offsets]
        unknown = _unknown(offsets, letters)
    elif not again:
        letters = [letter for letter in letters if letter.replayed_at is None]
    if not dry_run:
        for letter in letters:
            log_access(settings.home, "weir dlq replay", dead_letter=letter.offset)
    done = sorted([*unknown, *_replay(kafka, letters, again=again, dry_run=dry_run)], key=lambda one: one.offset)
    _print(done, as_json=as_json)


def _replay(kafka: KafkaSettings, letters: list[DeadLetter], *, again: bool, dry_run: bool) -> list[Outcome]:
    if not letters:
        return []
    with progress_on_stderr() as show:
        progress = partial(show, "dead letters")
        return asyncio.run(replay(kafka, letters, dry_run=dry_run, again=again, progress=progress))


def _print(done: list[Outcome], *, as_json: bool) -> None:
    if as_json:
        print_json(done)
    else:
        for one in done:
            click.echo(f"{one.offset}  {one.result}: {one.detail}")
    counts = Counter(one.result for one in done)
    words = [f"{counts[result]} {result}" for result in (REPLAYED_NOW, WOULD_REPLAY, SKIPPED, FAILED) if counts[result]]
    click.echo(", ".join(words) or "no dead letters to replay", err=True)
    if counts[FAILED]:
        raise click.exceptions.Exit(1)


def _unknown(offsets: tuple[int, ...], letters: list[DeadLetter]) -> list[Outcome]:
    missing = sorted(set(offsets) - {letter.offset for letter in letters})
    detail = "no dead letter at offset {}; `weir dlq list` prints the offsets"
    return [Outcome(offset=offset, result=FAILED, detail=detail.format(offset)) for offset in missing]


def _letters(kafka: KafkaSettings, since: str | None) -> list[DeadLetter]:
    start = parse_since(since)
    return asyncio.run(DeadLetterTopic(kafka).letters(start.timestamp() if start else None))


def _selected(letters: list[DeadLetter], stage: str | None, disposition: str | None) -> list[DeadLetter]:
    return [letter for letter in letters if stage in {None, letter.stage} and disposition in {None, letter.disposition}]


def _row(letter: DeadLetter) -> list[str]:
    source = f"{letter.topic or '?'}-{letter.partition}@{letter.source_offset}"
    size = str(letter.size_bytes) if letter.value_kept else "not kept"
    replayed = format_time(letter.replayed_at) if letter.replayed_at is not None else ""
    facts = (letter.stage or "?", source, letter.disposition, letter.exception, str(letter.attempt), size)
    return [str(letter.offset), format_time(letter.time), *facts, letter.request_id or "", replayed]
