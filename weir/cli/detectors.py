"""``weir detectors``."""

import click

from weir.cli.options import json_option
from weir.cli.render.output import print_json, print_table

__all__ = ["detectors"]


@click.command()
@click.option("--tenant", default="", help="Only this tenant.")
@json_option
def detectors(*, tenant: str, as_json: bool) -> None:
    """Show the precision of each detector in reviewed alerts: the share that a reviewer called right.

    A review is made in the console, or with POST /v1/feedback (alert_id, and label right or wrong). The interval contains the
    precision of all alerts with 95 % confidence, if the reviewed alerts are a random sample.

    \b
    Examples:
      weir detectors
      weir detectors --tenant support --json
    """  # noqa: D301 - click's \b keeps the lines as they are
    from stream.ledger.queries.ledger_reader import LedgerReader
    from weir.settings import load_settings

    found = LedgerReader(load_settings().settings.home / "ledger").detector_precision(tenant)
    if as_json:
        print_json(found)
        return
    rows = [
        [
            one.tenant,
            one.detector,
            str(one.right),
            str(one.wrong),
            f"{one.precision:.0%}",
            f"{one.low:.0%}-{one.high:.0%}",
        ]
        for one in found
    ]
    columns = ["tenant", "detector", "right", "wrong", "precision", "95 % interval"]
    print_table(columns, rows, "no reviewed alerts; review some in `weir console`")
