"""``weir explain``."""

import asyncio
from functools import cache
from typing import Any, get_args

import click
import msgspec

from detectors.base import TextDetector
from detectors.registry import EXPLAINED
from detectors.text.explain import Method
from weir.cli.options import json_option
from weir.cli.render.explanation import explanation_lines
from weir.cli.render.output import print_json, screen
from weir.client import effective_kafka
from weir.home.access_log import log_access
from weir.home.compute import decided
from weir.operate.request_story import read_story
from weir.operate.request_text import read_text
from weir.quality.explaining import Explanation, explained, flagged_verdicts, request_of
from weir.quality.scoring import load_detectors
from weir.settings import Settings, load_settings


@click.command()
@click.argument("event")
@click.option("--detector", type=click.Choice(EXPLAINED), help="Explain only this detector; default: all that flagged.")
@click.option(
    "--method", type=click.Choice(get_args(Method)), default="auto", show_default=True, help="Attribution method."
)
@click.option("--text", "with_text", is_flag=True, help="Add the text to the JSON; by default it has offsets only.")
@json_option
def explain(*, event: str, detector: str | None, method: Method, with_text: bool, as_json: bool) -> None:
    """Show which words made a detector flag an event as toxic or as a prompt injection.

    EVENT is the x-request-id of an answer (ID). To explain only the prompt, write ID/request. To explain only the
    answer, write ID/end. The installed detectors compute the weights of the words. The text is read from Kafka; the
    access is logged in logs/access.log under WEIR_HOME.

    \b
    Examples:
      weir explain 7b0f6f0e-8a1c-4d59-9c56-4a2f6c1b9d10
      weir explain 7b0f6f0e-8a1c-4d59-9c56-4a2f6c1b9d10/request --method lime
      weir explain 7b0f6f0e-8a1c-4d59-9c56-4a2f6c1b9d10 --json | jq '.[].attributions'
    """
    settings = load_settings().settings
    found = _explained(settings, event, (detector,) if detector else EXPLAINED, method)
    if as_json:
        print_json([one if with_text else msgspec.structs.replace(one, text=None) for one in found])
        return
    console = screen()
    for one in found:
        for line in explanation_lines(one, colour=console.color_system is not None):
            console.print(line, soft_wrap=True)


def _explained(settings: Settings, event: str, detectors: tuple[str, ...], method: Method) -> list[Explanation]:
    request_id = request_of(event)
    story = read_story(settings.home, request_id)
    found = flagged_verdicts(story, event, detectors)
    kafka, options = effective_kafka(settings), decided(settings).detectors.options
    log = log_access(settings.home, "weir explain", request_id=request_id)
    text = asyncio.run(read_text(kafka.client_options(), story))
    click.echo(f"this access to the text is logged in {log}", err=True)

    @cache
    def load(name: str) -> TextDetector[Any]:
        return load_detectors((name,), options)[0]

    return [explained(one, text, load, method=method, retention_hours=kafka.retention_hours) for one in found]
