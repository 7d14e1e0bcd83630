"""``weir gate``."""

import click

from weir.cli.missing_extra import needing
from weir.cli.options import json_option
from weir.cli.render.output import print_json
from weir.cli.render.progress import progress_on_stderr


@click.command()
@click.argument("version")
@click.option(
    "--champion", metavar="VERSION", help="Version to compare with, or base; default: the version that answers now."
)
@json_option
def gate(*, version: str, champion: str | None, as_json: bool) -> None:
    """Compare a trained version with the champion: blessed or refused, with the numbers.

    The gate checks the dataset of the version for poisoning. Then both models answer held-out conversations, safety
    prompts and tasks, and words of the dataset are tested as triggers. The report is gate.json and gate.md in the folder
    of the version. The command publishes nothing; the exit status is 0 for a refused version too.

    \b
    Examples:
      weir gate m_0123456789ab
      weir gate m_0123456789ab --champion base --json
    """
    from weir.settings import load_settings

    settings = load_settings().settings
    with needing("weir gate", "serving,stream,loop"), progress_on_stderr() as show:
        from stream.loop.gate.report import markdown
        from weir.operate.gate_setup import gate_version

        report = gate_version(settings, version, champion, lambda what, share: show(what, round(100 * share), 100))
    if as_json:
        print_json(report)
    else:
        click.echo(markdown(report), nl=False)
