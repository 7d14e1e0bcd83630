"""``weir show``."""

import asyncio
from typing import TYPE_CHECKING

import click

from weir.cli.options import json_option
from weir.cli.render.output import print_json, screen

if TYPE_CHECKING:
    from weir.settings import Settings

__all__ = ["show"]


@click.command()
@click.argument("request_id")
@click.option(
    "--text", "with_text", is_flag=True, help="Also read prompt and answer from the log; who asked is logged."
)
@json_option
def show(*, request_id: str, with_text: bool, as_json: bool) -> None:
    """Show what became of one request: its end, every verdict, the alerts it was part of, the retraining they led to.

    REQUEST_ID is the x-request-id of the answer. Prompt and answer stand on weir.inference alone: --text reads them at
    their offsets, and writes who asked to logs/access.log under WEIR_HOME.

    \b
    Examples:
      weir show 7b0f6f0e-8a1c-4d59-9c56-4a2f6c1b9d10
      weir show 7b0f6f0e-8a1c-4d59-9c56-4a2f6c1b9d10 --json | jq '.verdicts[] | select(.flagged)'
    """  # noqa: D301 - click's \b keeps the lines as they are
    from weir.cli.render.request_story import story_lines
    from weir.cli.render.status import screen
    from weir.client import effective_kafka
    from weir.home.access_log import log_access
    from weir.operate.request_story import read_story, read_text, shown
    from weir.settings import load_settings

    settings = load_settings().settings
    story = read_story(settings.home, request_id)
    text = None
    if with_text:
        kafka = effective_kafka(settings)
        log = log_access(settings.home, "weir show --text", request_id=request_id)
        text = asyncio.run(read_text(kafka.client_options(), story))
        click.echo(f"this look at the text is written down in {log}", err=True)
    if as_json:
        print_json(shown(story, text))
        return
    console = screen()
    for line in story_lines(story, trace_url=_trace_url(settings, story.trace_id), text=text):
        console.print(line, soft_wrap=True)


def _trace_url(settings: "Settings", trace_id: str) -> str:
    """Return the local MLflow's page of the trace, or "" where it does not run."""
    from weir.local.stack_state import load_components
    from weir.operate.trace_links import trace_page

    address = next((one.address for one in load_components(settings.home) if one.name == "mlflow"), "")
    return trace_page(settings, address, trace_id)
