"""``weir archive``."""

import asyncio
from functools import partial

import click

from weir.cli.missing_extra import needing
from weir.cli.options import FiniteRange, json_option
from weir.cli.render.output import print_rows
from weir.cli.render.progress import progress_on_stderr
from weir.errors import SettingsError
from weir.home.access_log import log_access


@click.group()
def archive() -> None:
    """Copy Kafka's records into Parquet files ([archive] url) that Kafka does not delete.

    `weir dataset` and `weir replay` read the archive where Kafka has deleted records. The files contain prompts and answers.

    \b
    Examples:
      weir archive run
      weir archive run --every 3600
    """


@archive.command("run")
@click.option(
    "--every",
    type=FiniteRange(min=1),
    metavar="SECONDS",
    help="Repeat with this pause until Ctrl-C or an error (exit status 1); run it under a supervisor.",
)
@json_option
def run_command(*, every: float | None, as_json: bool) -> None:
    """Archive the records since the last run. Prints their numbers.

    \b
    Examples:
      weir archive run
      duckdb -c "select type, count(*) from '.weir/archive/weir.inference/*/*.parquet' group by type"
    """
    import time

    from stream.address import redacted
    from stream.kafka.clients import needs_kafka
    from weir.client import effective_kafka
    from weir.settings import load_settings

    settings = load_settings().settings
    if not settings.archive.url:
        raise SettingsError(
            f"archive.url is empty, so there is no archive; set WEIR_ARCHIVE__URL to a folder such as {settings.home / 'archive'}, "
            "or to an fsspec URL such as s3://bucket/weir"
        )
    kafka = effective_kafka(settings)
    with needing("weir archive", "stream,loop"):
        from stream.archive.archiver import archive_log

        while True:
            log_access(settings.home, "weir archive run", archive=redacted(settings.archive.url))
            with needs_kafka(kafka.bootstrap_servers), progress_on_stderr() as show:
                work = archive_log(kafka, settings.archive, partial(show, "archiving"))
                written = asyncio.run(work)
            rows = [[topic, str(count)] for topic, count in written.items()]
            print_rows(written, ["topic", "archived records"], rows, "nothing new", as_json=as_json)
            if every is None:
                return
            time.sleep(every)
