"""``weir show``."""

import asyncio
from typing import TYPE_CHECKING

import click

from weir.cli.options import json_option
from weir.cli.render.output import print_json, screen

if TYPE_CHECKING:
    from stream.ledger.queries.request_story import RequestStory
    from weir.operate.cluster_terms import ClusterTerms
    from weir.operate.request_text import RequestText
    from weir.settings import Settings

__all__ = ["show"]

#: Maximum number of drift alerts whose terms are computed; each needs up to 80 texts.
_DRIFT_ALERTS = 3


@click.command()
@click.argument("request_id")
@click.option(
    "--text",
    "with_text",
    is_flag=True,
    help="Also print prompt and answer, and the typical terms of its drift alerts; every access to a text is logged.",
)
@json_option
def show(*, request_id: str, with_text: bool, as_json: bool) -> None:
    """Show one request: how it ended, its verdicts, its alerts, and the retraining events that these alerts caused.

    REQUEST_ID is the x-request-id of the answer. Without --text, no prompt or answer is read. With --text they are read from Kafka, and
    the access is logged in logs/access.log under WEIR_HOME. If the request is evidence of a drift alert, --text also reads the alert's other
    evidence and earlier requests of the model, and prints the terms that are typical of the evidence.

    \b
    Examples:
      weir show 7b0f6f0e-8a1c-4d59-9c56-4a2f6c1b9d10
      weir show 7b0f6f0e-8a1c-4d59-9c56-4a2f6c1b9d10 --text
      weir show 7b0f6f0e-8a1c-4d59-9c56-4a2f6c1b9d10 --json | jq '.verdicts[] | select(.flagged)'
    """  # noqa: D301 - click's \b keeps the lines as they are
    from weir.cli.render.request_story import story_lines
    from weir.operate.request_story import read_story, shown
    from weir.settings import load_settings

    settings = load_settings().settings
    story = read_story(settings.home, request_id)
    text, terms = asyncio.run(_read(settings, story)) if with_text else (None, {})
    if as_json:
        print_json(shown(story, text, terms))
        return
    console = screen()
    for line in story_lines(story, trace_url=_trace_url(settings, story.trace_id), text=text, cluster_terms=terms):
        console.print(line, soft_wrap=True)


async def _read(settings: "Settings", story: "RequestStory") -> "tuple[RequestText, dict[str, ClusterTerms]]":
    """Log the accesses, read the texts of the request, and compute the typical terms of its newest drift alerts."""
    from stream.ledger.queries.console_queries import LedgerPages
    from weir.client import effective_kafka
    from weir.home.access_log import log_access
    from weir.operate.cluster_terms import DRIFT, cluster_terms
    from weir.operate.request_text import read_text

    kafka, pages = effective_kafka(settings), LedgerPages(settings.home / "ledger")
    command = "weir show --text"
    log = log_access(settings.home, command, request_id=story.request_id)
    text = await read_text(kafka.client_options(), story)
    terms = {}
    for alert in [alert for alert in story.alerts if alert.detector == DRIFT][-_DRIFT_ALERTS:]:

        def logged(request_id: str, alert_id: str = alert.alert_id) -> None:
            log_access(settings.home, command, request_id=request_id, alert_id=alert_id)

        if (found := pages.alert(alert.alert_id, 0.0)) is not None:
            terms[alert.alert_id] = await cluster_terms(kafka, pages, found, logged)
    click.echo(f"this access to the texts is logged in {log}", err=True)
    return text, terms


def _trace_url(settings: "Settings", trace_id: str) -> str:
    """Return the trace's page in the local MLflow, or "" if MLflow does not run."""
    from weir.local.stack_state import load_components
    from weir.operate.trace_links import trace_page

    address = next((one.address for one in load_components(settings.home) if one.name == "mlflow"), "")
    return trace_page(settings, address, trace_id)
