"""``weir config``."""

import click

from weir.cli.render.output import json_option, print_json, print_table

__all__ = ["config"]


@click.command()
@click.option("--changed", is_flag=True, help="Only what is not a default.")
@click.option("--reference", "page", is_flag=True, help="Every key with its default, bounds and variable, as Markdown.")
@json_option
def config(*, changed: bool, page: bool, as_json: bool) -> None:
    """Print the effective settings, where each comes from, and secrets masked.

    \b
    Examples:
      weir config --changed
      WEIR_HTTP__PORT=8001 weir config --json
      weir config --reference > settings.md
    """  # noqa: D301 - click's \b keeps the lines as they are
    from weir.settings import load_settings
    from weir.settings.detector_options import refuse_bad_options
    from weir.settings.reference import reference

    if page:
        click.echo(reference(), nl=False)
        return
    loaded = load_settings()
    refuse_bad_options(loaded)
    settings = {key: entry for key, entry in loaded.effective().items() if not changed or entry["source"] != "default"}
    if as_json:
        print_json(settings)
        return
    rows = [[key, entry["value"], entry["source"]] for key, entry in settings.items()]
    print_table(["setting", "value", "source"], rows, "every setting has its default")
    click.echo(f"file: {loaded.config_path or 'none (weir.toml here, or WEIR_CONFIG)'}")
