"""``weir ledger``."""

import time
from pathlib import Path

import click

from stream.ledger.database_files import LedgerFiles
from stream.ledger.decisions import Heartbeat
from stream.ledger.errors import LedgerBusy
from stream.ledger.queries.ledger_reader import LedgerReader
from weir.errors import StackError
from weir.settings import load_settings

__all__ = ["ledger"]

_POLL_SECONDS = 0.5
_SILENT_SECONDS = 60.0


@click.group()
def ledger() -> None:
    """Keep the ledger: the index of what is owed and settled, by which `weir status` and `weir show` answer.

    Example: weir ledger rebuild
    """


@ledger.command()
@click.option("--no-wait", is_flag=True, help="Return at once; `weir status` shows how far it is.")
def rebuild(*, no_wait: bool) -> None:
    """Delete the ledger's files and read the log again from zero; nothing is lost but what the log no longer keeps.

    A running ledger does it at once and goes on; otherwise the files are deleted, and the next `weir up` reads the log.

    \b
    Examples:
      weir ledger rebuild
      weir ledger rebuild --no-wait
    """  # noqa: D301 - click's \b keeps the lines as they are
    directory = load_settings().settings.home / "ledger"
    if not directory.exists():
        raise StackError(f"no ledger in {directory}; start it with `weir up`, or set WEIR_HOME to a stack's home")
    files = LedgerFiles(directory)
    try:
        with files.hold():
            files.delete()
    except LedgerBusy:
        asked_at = time.time()
        files.ask_for_rebuild()
        if no_wait:
            click.echo("asked the running ledger to read the log again; see `weir status`", err=True)
        else:
            _wait(directory, asked_at)
    else:
        click.echo(f"deleted the ledger in {directory}; the next `weir up` reads the log again", err=True)


def _wait(directory: Path, asked_at: float) -> None:
    """Show how many records are still to be read, until the ledger has read all of the log."""
    files, reader = LedgerFiles(directory), LedgerReader(directory)
    heard_at = time.monotonic()
    heard = asked_at
    while True:
        beat = None if files.rebuild_asked() else reader.heartbeat()
        if beat is not None and beat.wall_time > heard:
            heard, heard_at = beat.wall_time, time.monotonic()
            if beat.caught_up:
                break
            _progress(beat)
        if time.monotonic() - heard_at > _SILENT_SECONDS:
            raise StackError(
                f"the ledger said nothing for {_SILENT_SECONDS:.0f} s; see {directory.parent / 'logs'}, and `weir status`"
            )
        time.sleep(_POLL_SECONDS)
    coverage = reader.coverage()
    click.echo(
        f"rebuilt in {time.time() - asked_at:.0f} s: {coverage.requests} requests, {coverage.total.settled} of "
        f"{coverage.total.owed} owed verdicts settled, {coverage.total.missing} missing",
        err=True,
    )


def _progress(beat: Heartbeat) -> None:
    click.echo(f"reading the log: {sum(beat.lag.values())} records to go", err=True)
