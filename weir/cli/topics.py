"""``weir topics``."""

import asyncio

import click

from weir.cli.options import json_option
from weir.cli.render.output import print_result, print_rows


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
def topics(context: click.Context, *, as_json: bool) -> None:
    """List the Kafka topics of Weir, or create them.

    \b
    Examples:
      weir topics --json
      weir topics create
      WEIR_KAFKA__BOOTSTRAP_SERVERS=kafka:9092 weir topics create
    """
    from stream.kafka.admin import list_topics
    from weir.client import effective_kafka
    from weir.settings import load_settings

    if context.invoked_subcommand is not None:
        return
    kafka = effective_kafka(load_settings().settings)
    found = asyncio.run(list_topics(kafka.client_options(), kafka.topic_prefix))
    rows = [[t.topic, str(t.partitions), _age(t.retention_ms), t.cleanup_policy, str(t.messages)] for t in found]
    empty = f"no topics with the prefix {kafka.topic_prefix!r} at {kafka.bootstrap_servers}; `weir topics create`"
    print_rows(found, ["topic", "partitions", "retention", "cleanup", "messages"], rows, empty, as_json=as_json)


@topics.command("create")
@json_option
def create(*, as_json: bool) -> None:
    """Create missing topics. A topic that exists with another partition count is an error; another retention is noted.

    Example: weir topics create
    """
    from weir.client import effective_kafka
    from weir.local.broker.launch import plan_broker
    from weir.local.create_topics import ensure_topics
    from weir.settings import load_settings

    settings = load_settings().settings
    kafka = effective_kafka(settings)
    made, note = ensure_topics(settings, plan_broker(settings.kafka, settings.home).kind, kafka.bootstrap_servers)
    text = f"created {', '.join(made)}" if made else "all topics exist"
    print_result({"created": made, "note": note}, f"{text}\n{note}".rstrip(), as_json=as_json)


def _age(milliseconds: int) -> str:
    return "for ever" if milliseconds < 0 else f"{milliseconds / 3_600_000:g} h"
