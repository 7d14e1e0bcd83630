"""``weir models``."""

from pathlib import Path

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
      weir models verify m_0123456789ab
    """  # noqa: D301 - click's \b keeps the lines as they are
    if context.invoked_subcommand is not None:
        return
    from weir.quality.model_inventory import inventory
    from weir.settings import load_settings

    settings = load_settings().settings
    found = inventory(Path(settings.model.cache).expanduser() if settings.model.cache else None)
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
