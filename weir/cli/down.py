"""``weir down``."""

import click
from rich.console import Console

from weir.local.step_reporter import StepReporter


@click.command()
def down() -> None:
    """Stop the processes that `weir up` started for this WEIR_HOME, also after a crash; data is kept.

    \b
    Examples:
      weir down
      WEIR_HOME=/tmp/two weir down
    """
    from weir.local.down import take_down
    from weir.local.preflight import create_home, stack_lock
    from weir.settings import home_folder

    home = home_folder()
    if not home.is_dir():
        click.echo(f"nothing to stop: {home} does not exist; set WEIR_HOME for another home")
        return
    create_home(home)
    reporter = StepReporter(Console(highlight=False, soft_wrap=True))
    with stack_lock(home):
        ran = take_down(home, reporter)
    reporter.say(f"the stack in {home} is stopped" if ran else f"nothing ran for {home}")
