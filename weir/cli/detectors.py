"""``weir detectors``."""

import click

from stream.count_text import count_text
from stream.ledger.queries.threshold_proposal import Expectation, Proposal
from weir.cli.options import FiniteRange, json_option, since_option
from weir.cli.render.output import print_json, print_rows, print_table
from weir.home.access_log import log_access

_TARGET = 0.9


@click.group(invoke_without_command=True)
@click.option("--tenant", default="", help="Only this tenant.")
@json_option
@click.pass_context
def detectors(context: click.Context, *, tenant: str, as_json: bool) -> None:
    """Show the precision of each detector in reviewed alerts: the share that a reviewer called right.

    Reviewers use the console, or POST /v1/feedback (alert_id, request_id of its evidence, and label right or wrong). The interval contains the
    precision of all alerts with 95 % confidence, if the reviewed alerts are a random sample. Only the newest review of an alert counts; "disputed"
    is the number of alerts on which reviewers disagree.

    \b
    Examples:
      weir detectors
      weir detectors --tenant support --json
      weir detectors tune --tenant support
    """
    if context.invoked_subcommand is not None:
        return
    from stream.ledger.queries.ledger_reader import LedgerReader
    from weir.settings import home_folder

    ledger = LedgerReader(home_folder() / "ledger")
    ledger.require()
    found = ledger.detector_precision(tenant)
    rows = [
        [
            one.tenant,
            one.detector,
            str(one.right),
            str(one.wrong),
            f"{one.precision:.0%}",
            f"{one.low:.0%}-{one.high:.0%}",
            str(one.disputed),
        ]
        for one in found
    ]
    columns = ["tenant", "detector", "right", "wrong", "precision", "95 % interval", "disputed"]
    empty = f"{f'tenant {tenant} has ' if tenant else ''}no reviewed alerts; review some in `weir console`"
    print_rows(found, columns, rows, empty, as_json=as_json)


@detectors.command("tune")
@click.option("--tenant", required=True, help="Tenant whose reviewed alerts and settings are used.")
@click.option("--detector", default="", help="Only this detector.")
@click.option("--precision", type=FiniteRange(0, 1, min_open=True), default=_TARGET, show_default=True, help="Share of right alerts to reach.")  # fmt: skip
@since_option
@click.option("--apply", is_flag=True, help="Write the proposed thresholds to weir.toml.")
@json_option
def tune(*, tenant: str, detector: str, precision: float, since: str | None, apply: bool, as_json: bool) -> None:
    """Propose thresholds for a tenant's alerts from their reviews. Without --apply, nothing is written.

    A proposal is the lowest score at which the share of right alerts reaches --precision. It needs 30 reviewed alerts, of which 10 reach the
    proposed threshold. Recall is the share of the right alerts at the present threshold that would still fire. A threshold is never lowered,
    because nobody reviews the texts that a detector misses. Intervals are Wilson's, 95 %, corrected for the number of compared thresholds. They
    assume that the reviewed alerts are a random sample. If the weights of a detector have changed, use --since: older scores are not comparable.

    \b
    Examples:
      weir detectors tune --tenant support
      weir detectors tune --tenant support --detector toxicity --precision 0.95 --since 30d --apply
    """
    from stream.ledger.queries.ledger_reader import LedgerReader
    from weir.client.times import parse_since
    from weir.errors import SettingsError
    from weir.operate.thresholds import proposals, write_threshold
    from weir.settings import load_settings

    if not tenant:
        raise SettingsError("--tenant is empty; name one tenant, as `weir detectors` lists it")
    opened = parse_since(since)
    begin = opened.timestamp() if opened else 0.0
    loaded = load_settings()
    LedgerReader(loaded.settings.home / "ledger").require()
    found = proposals(loaded.settings, tenant=tenant, detector=detector, target=precision, since=begin)
    if as_json:
        print_json(found)
    else:
        columns = [
            "detector",
            "threshold",
            "",
            "alerts",
            "right",
            "precision",
            "95 % interval",
            "recall",
            "95 % interval",
        ]
        rows = [row for one in found for row in _rows(one)]
        if rows or not found:
            when = f" that opened since {since}" if since else ""
            print_table(columns, rows, f"tenant {tenant} has no reviewed alerts{when}; review some in `weir console`")
    for one in found:
        _explain(one, as_json=as_json)
        if apply and one.proposed is not None:
            threshold, home = one.proposed.threshold, loaded.settings.home
            log_access(home, "weir detectors tune --apply", tenant=tenant, detector=one.detector, threshold=threshold)
            path = write_threshold(load_settings(), one)
            click.echo(
                f"{path}: {one.detector} {one.proposed.threshold}; restart with `weir down` and `weir up`", err=True
            )


def _rows(proposal: Proposal) -> list[list[str]]:
    steps = (("present", proposal.present), ("proposed", proposal.proposed))
    return [[proposal.detector, name, *_numbers(step)] for name, step in steps if step is not None]


def _numbers(step: Expectation) -> list[str]:
    return [
        f"{step.threshold:g}",
        str(step.alerts),
        str(step.right),
        f"{step.precision:.0%}",
        f"{step.precision_low:.0%}-{step.precision_high:.0%}",
        f"{step.recall:.0%}",
        f"{step.recall_low:.0%}-{step.recall_high:.0%}" if step.recall_low < step.recall_high else "",
    ]


def _explain(proposal: Proposal, *, as_json: bool) -> None:
    basis = f"{proposal.detector}: {count_text(proposal.reviews, 'reviewed alert')}, {count_text(proposal.reviewers, 'reviewer')}"
    if proposal.disputed:
        basis += f"; reviewers disagree on {proposal.disputed}, whose newest review counts"
    if proposal.proposed is None:
        basis += f"; no proposal: {proposal.reason}"
    click.echo(basis, err=as_json)
