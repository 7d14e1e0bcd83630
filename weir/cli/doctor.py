"""``weir doctor``."""

import click

from weir.cli.options import json_option
from weir.cli.render.output import print_json


@click.command()
@json_option
def doctor(*, as_json: bool) -> None:
    """Check that this machine has everything that Weir needs; print how to install what is missing.

    Exit status 1 if a requirement is missing.

    Example: weir doctor --json
    """
    from weir.local.doctor import diagnose

    checks = diagnose()
    if as_json:
        print_json(checks)
    else:
        for check in checks:
            mark = "ok  " if check.ok else ("FAIL" if check.required else "note")
            click.echo(f"{mark} {check.check:<12} {check.detail}")
            if not check.ok:
                click.echo(f"     {'':<12} → {check.remedy}")
    if any(check.required and not check.ok for check in checks):
        raise click.exceptions.Exit(1)
