"""``weir ledger``."""

import time
from pathlib import Path

import click

from stream.count_text import count_text
from stream.errors import LedgerBusy
from stream.ledger.database_files import LedgerFiles
from stream.ledger.decisions import Heartbeat
from weir.errors import StackError

_POLL_SECONDS = 0.5
_HEARTBEAT_TIMEOUT_SECONDS = 60.0


@click.group()
def ledger() -> None:
    """Manage the ledger, the SQLite index of requests and verdicts that `weir status` and `weir show` read.

    Example: weir ledger rebuild
    """


@ledger.command()
@click.option("--no-wait", is_flag=True, help="Return immediately; `weir status` shows the progress.")
def rebuild(*, no_wait: bool) -> None:
    """Rebuild the ledger from Kafka.

    Its files are deleted and all records are read again; only records that Kafka has deleted are lost.

    A running ledger rebuilds immediately. If the ledger does not run, it rebuilds after the next `weir up`.

    \b
    Examples:
      weir ledger rebuild
      weir ledger rebuild --no-wait
    """
    from weir.settings import home_folder

    directory = home_folder() / "ledger"
    if not directory.exists():
        raise StackError(f"no ledger in {directory}; start it with `weir up`, or set WEIR_HOME to the home of a stack")
    files = LedgerFiles(directory)
    try:
        with files.lock():
            files.delete()
    except LedgerBusy:
        began = time.monotonic()
        files.request_rebuild()
        if no_wait:
            click.echo("the running ledger will read all records again; see `weir status`", err=True)
        else:
            _wait(directory, began)
    else:
        click.echo(f"deleted the ledger in {directory}; the next `weir up` reads all records again", err=True)


def _wait(directory: Path, began: float) -> None:
    """Wait until the ledger has read all records; print how many remain.

    The heartbeats are not compared with the clock, which can step: they are in the new files, so each of them is newer than the request.
    """
    from stream.ledger.queries.ledger_reader import LedgerReader

    files, reader = LedgerFiles(directory), LedgerReader(directory)
    newest, beat_at = None, began
    while True:
        beat = None if files.rebuild_requested() else reader.heartbeat()
        if beat is not None and beat != newest:
            newest, beat_at = beat, time.monotonic()
            if beat.caught_up:
                break
            _progress(beat)
        if time.monotonic() - beat_at > _HEARTBEAT_TIMEOUT_SECONDS:
            raise StackError(
                f"no heartbeat of the ledger for {_HEARTBEAT_TIMEOUT_SECONDS:.0f} s; see {directory.parent / 'logs'} and "
                "`weir status`"
            )
        time.sleep(_POLL_SECONDS)
    coverage = reader.coverage()
    click.echo(
        f"rebuilt in {time.monotonic() - began:.0f} s: {count_text(coverage.requests, 'request')}, {coverage.total.settled} of "
        f"{count_text(coverage.total.owed, 'expected verdict')} completed, {coverage.total.missing} missing",
        err=True,
    )


def _progress(beat: Heartbeat) -> None:
    if records := sum(beat.lag.values()):  # before the ledger's first look at Kafka, the number is unknown
        click.echo(f"{count_text(records, 'record')} to read", err=True)
