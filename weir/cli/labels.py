"""``weir labels``."""

import asyncio
from functools import partial
from pathlib import Path

import click

from stream.count_text import count_text
from weir.cli.options import json_option
from weir.cli.render.output import print_result, print_rows
from weir.cli.render.progress import progress_on_stderr
from weir.home.access_log import log_access, user_name


@click.group()
def labels() -> None:
    """Import delayed labels (whether answers were correct), and show the accuracy of the models.

    \b
    Examples:
      weir labels import outcomes.jsonl --tenant support
      weir labels accuracy --tenant support
    """


@labels.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--tenant", required=True, help="Tenant of the labelled requests.")
@json_option
def import_(*, file: Path, tenant: str, as_json: bool) -> None:
    """Import the labels of FILE. The format is JSON lines, or CSV if the name ends in .csv.

    Fields: request_id (the x-request-id of the answer); value, from 0 to 1, or correct, true or false; and optionally at (time of the
    label; default: the time of the file), source (the system that made the label), label_id, conversation_id. If a line is wrong, the
    command names the line and imports nothing. After a failure, run the command again. Of labels with the same label_id, or with the
    same source and request, the label with the latest time counts: to correct a label, give the new label a later time.

    \b
    Examples:
      weir labels import outcomes.jsonl --tenant support
      echo '{"request_id": "7b0f6f0e-8a1c-4d59-9c56-4a2f6c1b9d10", "correct": false}' > one.jsonl
      weir labels import one.jsonl --tenant support
    """
    from weir.client import effective_kafka
    from weir.operate.labels import check_tenant_known, import_labels
    from weir.settings import load_settings

    settings = load_settings().settings
    check_tenant_known(settings.home, tenant)
    kafka = effective_kafka(settings)
    log_access(settings.home, "weir labels import", tenant=tenant, file=str(file))
    with progress_on_stderr() as progress:
        by, show = f"operator:{user_name()}", partial(progress, "labels")
        done = asyncio.run(import_labels(kafka, file, tenant=tenant, by=by, progress=show))
    text = f"{count_text(done, 'label')} imported for tenant {tenant}"
    print_result({"imported": done, "tenant": tenant}, text, as_json=as_json)


@labels.command("accuracy")
@click.option("--tenant", default="", help="Only this tenant.")
@json_option
def accuracy(*, tenant: str, as_json: bool) -> None:
    """Show the accuracy of labelled answers. A row is a tenant, a model and an hour of the answers.

    Example: weir labels accuracy --tenant support --json
    """
    from stream.ledger.queries.judged_answers import accuracy_hours, unjoined_count
    from stream.ledger.queries.ledger_reader import LedgerReader
    from weir.client.times import format_time
    from weir.settings import home_folder

    ledger = LedgerReader(home_folder() / "ledger")
    ledger.require()
    judged = ledger.judged_answers()
    found = accuracy_hours(judged, tenant)
    if unjoined := unjoined_count(judged, tenant):
        click.echo(
            f"not counted: {count_text(unjoined, 'labelled request')} without an answer in the ledger (a wrong id, a request of another"
            " tenant, or an answer that has expired)",
            err=True,
        )
    columns = ["hour", "tenant", "model", "labelled", "correct"]
    rows = [
        [format_time(hour.time), hour.tenant, hour.model, str(hour.answers), f"{hour.accuracy:.1%}"] for hour in found
    ]
    print_rows(found, columns, rows, "no labelled answers; see `weir labels import`", as_json=as_json)
