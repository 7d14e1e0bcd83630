"""``weir down``."""

import click

__all__ = ["down"]


@click.command()
def down() -> None:
    """Stop exactly what `weir up` started for this WEIR_HOME, and whatever a crash of it left; data is kept.

    \b
    Examples:
      weir down
      WEIR_HOME=/tmp/two weir down
    """  # noqa: D301 - click's \b keeps the lines as they are
    from rich.console import Console

    from weir.local.down import take_down
    from weir.local.preflight import exclusive, make_home
    from weir.local.step_reporter import Reporter
    from weir.settings import load_settings

    home = load_settings().settings.home
    if not home.is_dir():
        click.echo(f"nothing to stop: {home} does not exist (WEIR_HOME names another home)")
        return
    make_home(home)
    reporter = Reporter(Console(highlight=False, soft_wrap=True))
    with exclusive(home):
        ran = take_down(home, reporter)
    reporter.say(f"the stack in {home} is stopped" if ran else f"nothing ran for {home}")
