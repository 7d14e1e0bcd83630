"""``weir explain``."""

import asyncio
from functools import cache
from typing import Any, get_args

import click
import msgspec

from detectors.base import TextDetector
from detectors.errors import DetectorError
from detectors.text.explain import EXPLAINED, Method
from weir.cli.render.output import json_option, print_json
from weir.cli.render.explanation import explanation_lines
from weir.cli.render.status import screen
from weir.client import effective_kafka
from weir.errors import WeirError
from weir.home.access_log import log_access
from weir.operate.request_story import read_story, read_text
from weir.quality.explaining import Explanation, alerting, explained, request_of
from weir.quality.scoring import load_detectors
from weir.settings import Settings, load_settings

__all__ = ["explain"]


@click.command()
@click.argument("event")
@click.option("--detector", type=click.Choice(EXPLAINED), help="Whose alert; all that alerted, where none is named.")
@click.option(
    "--method", type=click.Choice(get_args(Method)), default="auto", show_default=True, help="How weights are computed."
)
@click.option("--text", "with_text", is_flag=True, help="Also put the text into the JSON, which has offsets alone.")
@json_option
def explain(*, event: str, detector: str | None, method: Method, with_text: bool, as_json: bool) -> None:
    """Show which words made an event alert as toxic or as a prompt injection.

    EVENT is the x-request-id of an answer, or one of its events: ID/request, ID/end. The text is read from the log at its offset,
    and who asked is written to logs/access.log under WEIR_HOME. Weights are computed here, by the detectors that are installed.

    \b
    Examples:
      weir explain 7b0f6f0e-8a1c-4d59-9c56-4a2f6c1b9d10
      weir explain 7b0f6f0e-8a1c-4d59-9c56-4a2f6c1b9d10/request --method lime
      weir explain 7b0f6f0e-8a1c-4d59-9c56-4a2f6c1b9d10 --json | jq '.[].attributions'
    """  # noqa: D301 - click's \b keeps the lines as they are
    settings = load_settings().settings
    told = _explained(settings, event, (detector,) if detector else EXPLAINED, method)
    if as_json:
        print_json([one if with_text else msgspec.structs.replace(one, text=None) for one in told])
        return
    console = screen()
    for one in told:
        for line in explanation_lines(one, colour=console.color_system is not None):
            console.print(line, soft_wrap=True)


def _explained(settings: Settings, event: str, detectors: tuple[str, ...], method: Method) -> list[Explanation]:
    request_id = request_of(event)
    story = read_story(settings.home, request_id)
    found = alerting(story, event, detectors)
    kafka = effective_kafka(settings)
    log = log_access(settings.home, "weir explain", request_id=request_id)
    text = asyncio.run(read_text(kafka.client_options(), story))
    click.echo(f"this look at the text is written down in {log}", err=True)

    @cache
    def load(name: str) -> TextDetector[Any]:
        return load_detectors((name,), settings.detectors.options)[0]

    try:
        return [explained(one, text, load, method=method, retention_hours=kafka.retention_hours) for one in found]
    except DetectorError as error:
        raise WeirError(str(error)) from error
