"""``weir dataset``."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

import click

from stream.count_text import count_text
from stream.errors import DatasetDamaged
from weir.cli.missing_extra import needing
from weir.cli.options import json_option
from weir.cli.render.output import print_json, print_rows, print_table, printable
from weir.cli.render.progress import progress_on_stderr
from weir.errors import SettingsError, WeirError
from weir.home.access_log import log_access

if TYPE_CHECKING:
    from stream.loop.dataset.build import BuildSettings
    from stream.loop.dataset.log import DatasetRequest
    from weir.settings import Settings

_EXTRAS = "stream,loop"


@click.group()
def dataset() -> None:
    """Build datasets from corrections, approvals and ratings of answers; show, verify and compare them.

    A dataset is a folder in $WEIR_HOME/loop/datasets, named by the digest of its rows. DIGEST may be the first characters.

    \b
    Examples:
      weir dataset build --for rt_0123456789abcdef
      weir dataset show 3f2a90
      weir dataset verify 3f2a90 --rebuild
    """


@dataset.command("build")
@click.option("--for", "retraining_id", metavar="RETRAINING_ID", help="Use the offsets that this request pinned.")
@click.option("--tenant", help="Without --for: the tenant.")
@click.option("--model", help="Without --for: the name of the model.")
@click.option("--from", "since", metavar="WHEN", help="Without --for: start, such as 2h, 7d or a time (RFC 3339).")
@click.option(
    "--to", "until", metavar="WHEN", help="Without --for: end, in the same format; default: the newest record."
)
@json_option
def build_command(
    *,
    retraining_id: str | None,
    tenant: str | None,
    model: str | None,
    since: str | None,
    until: str | None,
    as_json: bool,
) -> None:
    """Build a dataset and print its folder and counts. The build reads prompts and answers, so it is logged.

    The same offsets, settings and detector versions give the same digest on every machine.

    \b
    Examples:
      weir dataset build --for rt_0123456789abcdef
      weir dataset build --tenant acme --model smollm2-135m-instruct --from 7d
    """
    from weir.settings import load_settings

    alone = [tenant, model, since, until] == [None] * 4
    if alone != (retraining_id is not None) or (not alone and None in {tenant, model}):
        raise click.UsageError("give --for RETRAINING_ID alone, or --tenant and --model and optionally --from and --to")
    settings = load_settings().settings
    with needing("weir dataset", _EXTRAS):
        from stream.loop.dataset.build import build
        from stream.loop.dataset.files import read_manifest

        build_settings = _build_settings(settings)
        request = _request(build_settings, retraining_id, tenant or "", model or "", since, until)
        log_access(settings.home, "weir dataset build", tenant=request.tenant, model=request.model)
        with progress_on_stderr() as show:
            folder = build(build_settings, request, partial(show, "reading records"))
        manifest = read_manifest(folder)
    if as_json:
        print_json(manifest)
        return
    click.echo(f"{folder}\n{count_text(manifest.counts.train, 'row')} to train on, {manifest.counts.eval} held out\n")
    print_table(["left out", "requests"], [[k, str(n)] for k, n in manifest.counts.dropped.items()], "nothing left out")
    for bound in manifest.bounds:
        click.echo(f"{bound.name} of {bound.of}: {bound.found} found, {bound.kept} kept")


@dataset.command("list")
@json_option
def list_command(*, as_json: bool) -> None:
    """List the datasets of this home. A damaged dataset is named on standard error, and the exit status is 1.

    \b
    Examples:
      weir dataset list
    """
    from stream.loop.dataset.files import datasets_in, read_manifest
    from weir.settings import home_folder

    found, damaged = [], False
    for folder in datasets_in(home_folder()):
        try:
            found.append(read_manifest(folder))
        except DatasetDamaged as error:
            damaged = True
            click.echo(f"weir: {error}", err=True)
    columns = ["digest", "tenant", "model", "train", "eval", "retraining request"]
    rows = [
        [one.digest[:12], one.tenant, one.model, str(one.counts.train), str(one.counts.eval), one.retraining_id]
        for one in found
    ]
    print_rows(found, columns, rows, "no datasets", as_json=as_json)
    if damaged:
        raise click.exceptions.Exit(1)


@dataset.command("show")
@click.argument("digest")
@click.option("--samples", is_flag=True, help="Also print some rows; this access to content is logged.")
@json_option
def show_command(*, digest: str, samples: bool, as_json: bool) -> None:
    """Print the card of a dataset. The card has ranges, counts, and the reasons why rows were left out.

    \b
    Examples:
      weir dataset show 3f2a90
      weir dataset show 3f2a90 --json | jq .counts
    """
    from stream.loop.dataset.files import find, read_checked, read_manifest
    from weir.settings import home_folder

    if as_json and samples:
        raise click.UsageError("--json prints the manifest, which has no rows; give --json or --samples")
    home = home_folder()
    folder = find(home, digest)
    if as_json:
        print_json(read_manifest(folder))
    else:
        click.echo(read_checked(folder / "card.md").decode())
        click.echo(f"Report: {folder / 'report.html'}")
    if samples:
        log_access(home, "weir dataset show --samples", dataset=folder.name)
        for line in read_checked(folder / "samples.jsonl").splitlines():
            row = json.loads(line)
            texts = [*(f"{turn['role']}: {turn['content']}" for turn in row["prompt"]), f"answer: {row['completion']}"]
            click.echo("\n".join([f"\n{row['id']} ({row['source']})", *(printable(text) for text in texts)]))


@dataset.command("verify")
@click.argument("digest")
@click.option("--rebuild", is_flag=True, help="Also build the rows again; this access to content is logged.")
def verify_command(*, digest: str, rebuild: bool) -> None:
    """Check the rows of a dataset against its digest. Exit status 1 if they differ.

    --rebuild uses the offsets and settings of the dataset, the installed detectors, and the present prompts of the gate.

    \b
    Examples:
      weir dataset verify 3f2a90
      weir dataset verify 3f2a90 --rebuild
    """
    from weir.settings import load_settings

    settings = load_settings().settings
    with needing("weir dataset", _EXTRAS):
        from stream.loop.dataset.files import find, verify

        folder = find(settings.home, digest)
        manifest = verify(folder)
        click.echo(
            f"{count_text(manifest.counts.train + manifest.counts.eval, 'row fits', 'rows fit')} the digest {manifest.digest}"
        )
        if not rebuild:
            return
        from stream.loop.dataset.build import rebuilt

        log_access(settings.home, "weir dataset verify --rebuild", tenant=manifest.tenant, model=manifest.model)
        with progress_on_stderr() as show:
            found = rebuilt(_build_settings(settings), folder, partial(show, "reading records"))
    if found != manifest.digest:
        raise WeirError(
            f"the rebuilt rows have the digest {found}, the dataset has {manifest.digest}; compare the detector versions in its manifest"
            " with the installed ones, and check whether Kafka has deleted records (`weir topics`)"
        )
    click.echo("the rebuilt rows have the same digest")


@dataset.command("diff")
@click.argument("before")
@click.argument("after")
@json_option
def diff_command(*, before: str, after: str, as_json: bool) -> None:
    """Compare two datasets. Prints the numbers of rows, sources, reasons, settings and versions; no text.

    \b
    Examples:
      weir dataset diff 3f2a90 81bc04
    """
    from weir.settings import home_folder

    home = home_folder()
    with needing("weir dataset", _EXTRAS):
        from stream.loop.dataset.diff import diff
        from stream.loop.dataset.files import find

        found = diff(find(home, before), find(home, after))
    if as_json:
        print_json(found)
        return
    click.echo(
        f"{count_text(len(found.added), 'row')} added, {len(found.removed)} removed, {len(found.changed)} changed"
    )
    for title in ("sources", "dropped", "settings", "versions"):
        rows = [[name, str(old), str(new)] for name, (old, new) in getattr(found, title).items()]
        print_table([title, found.before[:12], found.after[:12]], rows, f"{title}: equal")


def _build_settings(settings: Settings) -> BuildSettings:
    from stream.loop.dataset.build import BuildSettings
    from weir.client import effective_kafka

    return BuildSettings(
        home=settings.home,
        kafka=effective_kafka(settings),
        tenants=settings.tenants,
        options=settings.detectors.options,
        archive=settings.archive.url,
    )


def _request(  # noqa: PLR0917 - the options of the command
    settings: BuildSettings, retraining_id: str | None, tenant: str, model: str, since: str | None, until: str | None
) -> DatasetRequest:
    from stream.kafka.clients import needs_kafka
    from stream.loop.dataset.log import request_between, request_for
    from weir.client import parse_since

    now = datetime.now(UTC)
    first, last = (None if text is None else parse_since(text, now) for text in (since, until))
    if first is not None and first >= (last or now):
        fix = "choose a time in the past" if last is None else "swap them, or widen the range"
        raise SettingsError(f"--from {since} is not before --to {until or 'now'}; {fix}")
    with needs_kafka(settings.kafka.bootstrap_servers):
        if retraining_id is not None:
            return asyncio.run(request_for(settings.kafka, retraining_id, settings.opened()))
        start, end = (None if time is None else time.timestamp() for time in (first, last))
        return asyncio.run(request_between(settings.kafka, tenant, model, start, end, settings.opened()))
