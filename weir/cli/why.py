"""``weir why``."""

import asyncio
import os
from typing import TYPE_CHECKING

import click

from stream.count_text import count_text
from weir.cli.options import json_option
from weir.cli.render.output import print_json, print_rows
from weir.errors import NotFoundError

if TYPE_CHECKING:
    from pathlib import Path

    from stream.address import Address
    from stream.settings import KafkaSettings


def _address(url: str) -> "Address":
    from stream.address import Address

    try:
        return Address(url)
    except ValueError as error:
        raise click.UsageError(f"--openlineage-url is wrong: {error}") from None


@click.command()
@click.argument("version", required=False)
@click.option("--subject", metavar="ID", help="List instead the versions whose dataset has rows of this request or conversation, or that this API key sent or reviewed.")  # fmt: skip
@click.option("--tenant", default="", help="With --subject: the tenant of the conversation.")
@click.option("--verify", is_flag=True, help="Exit with status 1 if an edge is broken; print only broken edges.")
@click.option("--prov", is_flag=True, help="Print W3C PROV-JSON.")
@click.option("--openlineage", is_flag=True, help="Print OpenLineage run events, one per line.")
@click.option("--openlineage-url", default="", metavar="URL", help="Send the OpenLineage run events to the API below URL, such as http://marquez:5000.")  # fmt: skip
@json_option
def why(
    *,
    version: str | None,
    subject: str | None,
    tenant: str,
    verify: bool,
    prov: bool,
    openlineage: bool,
    openlineage_url: str,
    as_json: bool,
) -> None:
    """Show where a model version came from: requests, verdicts, alerts, retraining request, dataset, training, gate, routes.

    An edge connects a record with its cause. Each edge is checked against Kafka's records. It is broken if one of them is missing, has
    expired, or disagrees.

    With --subject, the command reads the datasets on this machine. If a dataset is damaged or missing, standard error names the
    dataset or its version, and the exit status is 1.

    OPENLINEAGE_API_KEY is the bearer token for --openlineage-url, if the endpoint needs one.

    \b
    Examples:
      weir why m_4c1d09e2aa01
      weir why m_4c1d09e2aa01 --verify
      weir why m_4c1d09e2aa01 --prov > m_4c1d09e2aa01.prov.json
      weir why m_4c1d09e2aa01 --openlineage-url http://127.0.0.1:5000
      weir why --subject k_5d1f
    """
    from stream.loop.lineage.chain import chain_of
    from stream.loop.lineage.read import read_facts
    from weir.cli.render.chain import chain_lines
    from weir.client import effective_kafka
    from weir.operate.model_lineage import dataset_facts
    from weir.settings import load_settings

    if bool(version) == bool(subject):
        raise click.UsageError("give either VERSION or --subject ID")
    endpoint = _address(openlineage_url)
    settings = load_settings().settings
    kafka = effective_kafka(settings)
    if subject:
        _print_versions_of_subject(kafka, settings.home, subject, tenant, as_json=as_json)
        return
    assert version is not None
    facts, dataset = asyncio.run(read_facts(kafka, version, lambda digest: dataset_facts(settings.home, digest)))
    chain = chain_of(facts, version, dataset)
    if chain is None:
        raise NotFoundError(
            f"no version {version!r} on topic {kafka.names.models}; the trained versions of this home are the folders in "
            f"{settings.home / 'loop' / 'models'}"
        )
    if prov or openlineage:
        from openlineage.client.serde import Serde

        from stream.loop.lineage.export import open_lineage, prov_json

        click.echo(prov_json(chain) if prov else "\n".join(map(Serde.to_json, open_lineage(chain))))
    elif endpoint:
        from stream.loop.lineage.export import open_lineage, send_open_lineage

        events = open_lineage(chain)
        sent_to = send_open_lineage(events, endpoint, os.environ.get("OPENLINEAGE_API_KEY", ""))
        click.echo(f"{count_text(len(events), 'event')} sent to {sent_to}")
    elif as_json:
        print_json(chain)
    else:
        for line in chain_lines(chain, only_broken=verify):
            click.echo(line)
    if verify and chain.broken:
        raise click.exceptions.Exit(1)


def _print_versions_of_subject(
    kafka: "KafkaSettings", home: "Path", subject: str, tenant: str, *, as_json: bool
) -> None:
    """Print the versions; name on standard error the datasets that were not searched, and exit with status 1 if there are any."""
    from weir.operate.model_lineage import versions_of_subject

    versions = asyncio.run(versions_of_subject(kafka, home, subject, tenant))
    rows = [[one.version, one.dataset, str(one.rows)] for one in versions.found]
    empty = f"no {'readable ' if versions.damaged else ''}dataset on this machine has a row of {subject}"
    print_rows(versions.found, ["version", "dataset", "rows"], rows, empty, as_json=as_json)
    for error in versions.damaged:
        click.echo(f"weir: {error}", err=True)
    if versions.absent:
        names = ", ".join(versions.absent)
        click.echo(f"weir: not searched, because their datasets are not on this machine: {names}", err=True)
    if versions.damaged or versions.absent:
        raise click.exceptions.Exit(1)
