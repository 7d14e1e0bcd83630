"""``weir models``."""

import click

from weir.cli.options import json_option
from weir.cli.render.output import print_json, print_table

__all__ = ["models"]

_MIB = 1024 * 1024


@click.command()
@json_option
def models(*, as_json: bool) -> None:
    """Print the installed models, their digests and their sources, and which models are served.

    Example: weir models --json
    """
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
