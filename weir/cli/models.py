"""``weir models``."""

import click

from weir.cli.options import json_option
from weir.cli.render.output import print_json, print_table

__all__ = ["models"]

_MIB = 1024 * 1024


@click.group(invoke_without_command=True)
@json_option
@click.pass_context
def models(context: click.Context, *, as_json: bool) -> None:
    """Print the installed models, their digests and their sources, and which models are served.

    \b
    Examples:
      weir models --json
      weir models promote m_0123456789ab --tenant acme --reason 'tested by hand'
      weir models rollback --tenant acme --reason 'wrong answers'
      weir models verify m_0123456789ab
    """  # noqa: D301 - click's \b keeps the lines as they are
    if context.invoked_subcommand is not None:
        return
    from weir.quality.model_inventory import inventory
    from weir.settings import load_settings

    settings = load_settings().settings
    found = inventory(settings.served_models().values())
    if as_json:
        print_json(found)
        return
    rows = [
        [one.name, one.used_by, one.digest[:12], f"{one.size_bytes / _MIB:.0f} MiB", one.source, one.origin]
        for one in found
    ]
    print_table(
        ["model", "used by", "sha256", "size", "source", "origin"],
        rows,
        "no models are installed; `weir up` downloads them",
    )
    for name, model in settings.served_models().items():
        where = f"engine {model.engine} at {model.base_url}" if model.base_url else f"engine {model.engine}"
        click.echo(f"served: {name} ({where})")


_TENANT = click.option(
    "--tenant", default="default", show_default=True, help="Tenant whose requests the version answers."
)
_MODEL = click.option("--model", default="", help="Model that the version belongs to; default: the first served model.")
_REASON = click.option("--reason", required=True, metavar="TEXT", help="Why; the next person on call reads it.")


@models.command("promote")
@click.argument("version")
@_TENANT
@_MODEL
@_REASON
@click.option("--now", is_flag=True, help="Let the version answer all requests at once, without shadow and canary.")
@json_option
def promote(  # noqa: PLR0913 - click passes each option by name
    *, version: str, tenant: str, model: str, reason: str, now: bool, as_json: bool
) -> None:
    """Let a trained VERSION answer: first in shadow and in a canary, whose verdicts decide; with --now at once.

    \b
    Examples:
      weir models promote m_0123456789ab --tenant acme --reason 'tested by hand'
      weir models promote m_0123456789ab --tenant acme --reason 'the canary was inconclusive' --now
    """  # noqa: D301 - click's \b keeps the lines as they are
    import asyncio

    from stream.wire import RouteRecord
    from weir.client import effective_kafka
    from weir.home.access_log import user_name
    from weir.operate.routes import pin, start
    from weir.settings import load_settings

    settings = load_settings().settings
    model = model or settings.first_model
    if now:
        known = RouteRecord(tenant=tenant, model=model, epoch=0, at=0.0, champion="")
        result: object = pin(settings.home, known, version, by=user_name(), reason=reason)
        line = f"{tenant} {model}: {version} answers all requests"
    else:
        kafka = effective_kafka(settings)
        record = asyncio.run(
            start(settings.home, kafka, version, tenant=tenant, model=model, by=user_name(), reason=reason)
        )
        result, line = record, f"{record.retraining_id}: {version} starts; follow it with `weir retraining --follow`"
    if as_json:
        print_json(result)
    else:
        click.echo(line)


@models.command("rollback")
@_TENANT
@_MODEL
@_REASON
@json_option
def rollback(*, tenant: str, model: str, reason: str, as_json: bool) -> None:
    """End a shadow or canary, or take back the last promotion: the version before it answers all requests.

    Example: weir models rollback --tenant acme --reason 'wrong answers'
    """
    from weir.errors import NotFoundError
    from weir.home.access_log import user_name
    from weir.operate.routes import pin, rollback_version, routes
    from weir.settings import load_settings

    settings = load_settings().settings
    found = routes(settings.home, tenant=tenant, model=model or settings.first_model)
    if not found:
        raise NotFoundError(
            f"tenant {tenant} has no route of {model or settings.first_model}; `weir route show` lists the routes"
        )
    override = pin(settings.home, found[0], rollback_version(found[0]), by=user_name(), reason=reason)
    if as_json:
        print_json(override)
    else:
        click.echo(f"{override.tenant} {override.model}: {override.version} answers all requests")


@models.command("verify")
@click.argument("version")
@json_option
def verify(*, version: str, as_json: bool) -> None:
    """Check the signature and the digests of a trained version; exit status 1 if a file was changed.

    Example: weir models verify m_0123456789ab
    """
    from weir.cli.missing_extra import needing
    from weir.settings import load_settings

    home = load_settings().settings.home
    with needing("weir models verify", "loop"):
        from stream.loop.training.signing import verify_version

        manifest = verify_version(home, version)
    if as_json:
        print_json(manifest)
    else:
        click.echo(f"{version}: signature and digests are valid; base {manifest.job.base_digest[:12]}")
        click.echo(f"dataset {manifest.job.dataset_digest[:12]}, {len(manifest.files)} files")
