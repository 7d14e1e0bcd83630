"""``weir route``."""

from pathlib import Path

import click

from stream.errors import StreamError
from stream.score_text import percent_text
from stream.wire import RouteRecord
from weir.cli.options import json_option, reason_option
from weir.cli.render.output import print_result, print_rows
from weir.errors import NotFoundError
from weir.home.access_log import log_access, user_name


@click.group()
def route() -> None:
    """Show which version of a model answers, and stop a new version immediately.

    \b
    Examples:
      weir route show
      weir route kill --tenant acme --model smollm2-135m-instruct --reason 'wrong answers'
      weir route kill --reason 'stop all new versions'
    """


@route.command("show")
@click.option("--tenant", default="", help="Only this tenant.")
@click.option("--model", default="", help="Only this model.")
@json_option
def show(*, tenant: str, model: str, as_json: bool) -> None:
    """Show the routes in force.

    A route states the share of the conversations that each version answers. Without a route, the base version answers.

    Example: weir route show --json
    """
    from weir.operate.routes import routes
    from weir.settings import home_folder

    home = home_folder()
    found = routes(home, tenant=tenant, model=model)
    columns = ["tenant", "model", "epoch", "answers", "shadow", "by", "reason"]
    rows = [
        [one.tenant, one.model, str(one.epoch), _weights(one), percent_text(one.shadow), one.by, one.reason]
        for one in found
    ]
    print_rows(found, columns, rows, _no_routes(home), as_json=as_json)


@route.command("kill")
@click.option("--tenant", default="", help="Only this tenant; default: all tenants.")
@click.option("--model", default="", help="Only this model; default: all models.")
@reason_option
@json_option
def kill(*, tenant: str, model: str, reason: str, as_json: bool) -> None:
    """Stop new versions within two seconds, also without Kafka. Ends a shadow or canary; without one, undoes the last promotion.

    A tenant or model without a route is an error. If no new version answers, nothing is changed. If routes.json is damaged, give --tenant and
    --model: the base version then answers, because the version before is unknown.

    The gateways of this home follow immediately. The component delivery publishes the decision when Kafka is available.

    Example: weir route kill --tenant acme --model smollm2-135m-instruct --reason 'wrong answers'
    """
    from weir.operate.routes import roll_back, rollback_version, routes
    from weir.settings import home_folder

    home = home_folder()
    try:
        chosen = routes(home, tenant=tenant, model=model)
    except StreamError as error:
        if not (tenant and model):
            raise
        click.echo(f"weir: {error}", err=True)
        # The rollback of a route without a version before is the base version.
        chosen = [RouteRecord(tenant=tenant, model=model, epoch=0, at=0.0, champion="")]
    if (tenant or model) and not chosen:
        raise NotFoundError(
            f"{_named(tenant, model)} has no route, so nothing was changed; {_known(home, routes(home))}"
        )
    done = [
        roll_back(home, one, by=user_name(), reason=reason)
        for one in chosen
        if one.challenger or one.champion != rollback_version(one)
    ]
    try:
        for override in done:
            answering = {"tenant": override.tenant, "model": override.model, "model_version": override.version}
            log_access(home, "weir route kill", **answering)
    finally:
        text = "\n".join(f"{one.tenant} {one.model}: {one.version} answers all requests" for one in done)
        if done or as_json:
            print_result(done, text, as_json=as_json)
    if not done and not as_json:
        click.echo(
            f"no new version answers in {home} for {_named(tenant, model)}; nothing was changed. `weir route show` lists the routes",
            err=True,
        )


def _named(tenant: str, model: str) -> str:
    return f"tenant {tenant or '(all)'}, model {model or '(all)'}"


def _known(home: Path, found: "list[RouteRecord]") -> str:
    names = sorted({f"{one.tenant} / {one.model}" for one in found})
    return f"routes exist for {', '.join(names)}" if names else _no_routes(home)


def _no_routes(home: Path) -> str:
    return f"no routes in {home}: every model of this home answers with its base version"


def _weights(route: RouteRecord) -> str:
    return ", ".join(f"{version} {weight} %" for version, weight in sorted(route.weights.items()))
