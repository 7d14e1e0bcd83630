"""``weir config``."""

import json
from typing import Any

import click

from weir.cli.options import json_option
from weir.cli.render.output import print_json, print_table


@click.command()
@click.option("--changed", is_flag=True, help="Print only settings that differ from their default.")
@click.option(
    "--reference",
    "page",
    is_flag=True,
    help="Print every setting with its default, bounds and environment variable, as Markdown.",
)
@json_option
def config(*, changed: bool, page: bool, as_json: bool) -> None:
    """Print the effective settings and the source of each; secrets are masked.

    \b
    Examples:
      weir config --changed
      WEIR_HTTP__PORT=8001 weir config --json
      weir config --reference > settings.md
    """
    from weir.settings import load_settings
    from weir.settings.detector_options import check_detector_options
    from weir.settings.reference import reference

    if page:
        click.echo(reference(), nl=False)
        return
    loaded = load_settings()
    check_detector_options(loaded)
    settings = {key: entry for key, entry in loaded.effective().items() if not changed or entry["source"] != "default"}
    if as_json:
        print_json(settings)
        return
    rows = [[key, _text(entry["value"]), entry["source"]] for key, entry in settings.items()]
    print_table(["setting", "value", "source"], rows, "every setting has its default value")
    click.echo(f"file: {loaded.config_path or 'none (put weir.toml here, or set WEIR_CONFIG)'}")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)
