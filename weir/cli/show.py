"""``weir show``."""

import asyncio
from typing import TYPE_CHECKING

import click

from weir.cli.options import WholeRange, json_option
from weir.cli.render.output import print_json, screen
from weir.home.access_log import log_access

if TYPE_CHECKING:
    from stream.ledger.queries.request_story import RequestStory
    from weir.operate.cluster_terms import ClusterTerms
    from weir.operate.request_text import RequestText
    from weir.settings import Settings

#: Maximum number of drift alerts whose terms are computed; each needs up to 80 texts.
_DRIFT_ALERTS = 3
#: The name of this command in the access log.
_COMMAND = "weir show --text"


@click.command()
@click.argument("request_id", required=False)
@click.option("--conversation", metavar="ID", help="Show the requests of this conversation instead, oldest first.")
@click.option(
    "--tenant", default="", help="With --conversation: its tenant; needed if several tenants have the conversation."
)
@click.option(
    "--limit",
    type=WholeRange(1, 500),
    default=50,
    show_default=True,
    help="With --conversation: how many requests; the newest are shown.",
)
@click.option(
    "--text",
    "with_text",
    is_flag=True,
    help="Also print prompt and answer, and the typical terms of the request's drift alerts; every access to a text is logged.",
)
@json_option
def show(
    *, request_id: str | None, conversation: str | None, tenant: str, limit: int, with_text: bool, as_json: bool
) -> None:
    """Show one request: how it ended, its verdicts, its alerts, and the retraining events that these alerts caused.

    REQUEST_ID is the x-request-id of the answer. Without --text, no prompt or answer is read. With --text they are read from Kafka, and
    the access is logged in logs/access.log under WEIR_HOME. If the request is evidence of a drift alert, --text also reads the alert's other
    evidence and earlier requests of the model, and prints the terms that are typical of the evidence.

    With --conversation, all requests of a conversation are shown; --json prints a list of requests. The id is the one that the client sent
    as metadata.conversation_id or x-weir-conversation-id.

    \b
    Examples:
      weir show 7b0f6f0e-8a1c-4d59-9c56-4a2f6c1b9d10
      weir show 7b0f6f0e-8a1c-4d59-9c56-4a2f6c1b9d10 --text
      weir show 7b0f6f0e-8a1c-4d59-9c56-4a2f6c1b9d10 --json | jq '.verdicts[] | select(.flagged)'
      weir show --conversation c-17 --text
    """
    from weir.cli.render.request_story import story_lines
    from weir.operate.request_story import read_conversation, read_story, shown
    from weir.operate.trace_links import PLACEHOLDER, trace_page
    from weir.settings import load_settings

    if bool(request_id) == bool(conversation):
        raise click.UsageError("give either REQUEST_ID or --conversation ID")
    given = [f"--{name}" for name in ("tenant", "limit") if _is_given(name)]
    if request_id and given:
        verb = "applies" if len(given) == 1 else "apply"
        raise click.UsageError(f"{' and '.join(given)} {verb} to --conversation only; leave out {' and '.join(given)}")
    settings = load_settings().settings
    if request_id:
        stories = [read_story(settings.home, request_id)]
    else:
        stories = read_conversation(settings.home, conversation or "", tenant=tenant, limit=limit)
    texts = asyncio.run(_texts(settings, stories)) if with_text else [None] * len(stories)
    terms = asyncio.run(_terms(settings, stories[0])) if with_text and request_id else {}
    if as_json:
        found = [shown(story, text, terms) for story, text in zip(stories, texts, strict=True)]
        print_json(found[0] if request_id else found)
        return
    console, page = screen(), trace_page(settings)
    for story, text in zip(stories, texts, strict=True):
        if story is not stories[0]:
            console.print()
        trace_url = page.replace(PLACEHOLDER, story.trace_id) if story.trace_id else ""
        for line in story_lines(story, trace_url=trace_url, text=text, cluster_terms=terms):
            console.print(line, soft_wrap=True)


def _is_given(parameter: str) -> bool:
    source = click.get_current_context().get_parameter_source(parameter)
    return source is not None and source is not click.core.ParameterSource.DEFAULT


async def _texts(settings: "Settings", stories: "list[RequestStory]") -> "list[RequestText | None]":
    """Log the accesses, then read the texts of the requests."""
    from weir.client import effective_kafka
    from weir.operate.request_text import read_texts

    logs = {log_access(settings.home, _COMMAND, request_id=story.request_id) for story in stories}
    texts = await read_texts(effective_kafka(settings).client_options(), stories)
    click.echo(f"this access to the texts is logged in {logs.pop()}", err=True)
    return [*texts]


async def _terms(settings: "Settings", story: "RequestStory") -> "dict[str, ClusterTerms]":
    """Compute the typical terms of the newest drift alerts of a request; each access to a text is logged."""
    from stream.ledger.queries.console_queries import LedgerPages
    from weir.client import effective_kafka
    from weir.operate.cluster_terms import DRIFT, cluster_terms

    kafka, pages = effective_kafka(settings), LedgerPages(settings.home / "ledger")
    terms = {}
    for alert in [alert for alert in story.alerts if alert.detector == DRIFT][-_DRIFT_ALERTS:]:

        def logged(request_id: str, alert_id: str = alert.alert_id) -> None:
            log_access(settings.home, _COMMAND, request_id=request_id, alert_id=alert_id)

        if (found := pages.alert(alert.alert_id, 0.0)) is not None:
            terms[alert.alert_id] = await cluster_terms(kafka, pages, found, logged)
    return terms
