"""``weir keys``."""

from typing import get_args

import click

from serving.api_keys import DEFAULT_SCOPES, ApiKey, KeyScope
from weir.cli.options import json_option
from weir.cli.render.output import print_json, print_result, print_rows
from weir.home.access_log import log_access
from weir.home.api_keys import create_key, list_keys, revoke_key


@click.group()
def keys() -> None:
    """Create, list and revoke API keys; a running gateway applies a change within a second.

    \b
    Examples:
      weir keys create --tenant support
      weir keys list
      weir keys revoke k_0123456789ab
    """


@keys.command("create")
@click.option(
    "--tenant", required=True, help="Tenant of the requests made with the key; its settings are [tenants.NAME]."
)
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(get_args(KeyScope)),
    default=DEFAULT_SCOPES,
    show_default=True,
    help="What the key may do; repeat the option for several scopes.",
)
@json_option
def create(*, tenant: str, scopes: tuple[KeyScope, ...], as_json: bool) -> None:
    """Create a key for a tenant and print the key. The key is shown only once, because Weir stores only its hash.

    Scopes: infer (send prompts, also through intake), feedback (POST /v1/feedback), review (approve answers, POST /v1/labels),
    approve (approve or reject retraining), delegate (LiteLLM's keys count as different keys).

    \b
    Examples:
      weir keys create --tenant support
      weir keys create --tenant support --scope feedback --scope review
    """
    from weir.settings import home_folder

    home = home_folder()

    def log(key: ApiKey) -> None:
        log_access(home, "weir keys create", key=key.id, tenant=key.tenant, scopes=" ".join(key.scopes))

    record, secret = create_key(home, tenant, tuple(dict.fromkeys(scopes)), log)
    if as_json:
        shown = {"id": record.id, "tenant": record.tenant, "created": record.created, "scopes": record.scopes}
        print_json(shown | {"key": secret})
    else:
        click.echo(secret)
        click.echo(
            f"{record.id} for tenant {record.tenant}, scopes {', '.join(record.scopes)}; this key is not shown again",
            err=True,
        )


@keys.command("list")
@json_option
def list_(*, as_json: bool) -> None:
    """List the ids and tenants of all keys. Revoked keys are included; the keys themselves are never shown.

    Example: weir keys list --json
    """
    from weir.settings import home_folder

    home = home_folder()
    known = list_keys(home)
    shown = [
        {"id": k.id, "tenant": k.tenant, "created": k.created, "revoked": k.revoked, "scopes": k.scopes} for k in known
    ]
    columns = ["id", "tenant", "scopes", "created", "revoked"]
    rows = [[k.id, k.tenant, " ".join(k.scopes), k.created, k.revoked or ""] for k in known]
    print_rows(shown, columns, rows, f"no keys in {home}; `weir keys create --tenant NAME`", as_json=as_json)


@keys.command("revoke")
@click.argument("key_id")
@json_option
def revoke(*, key_id: str, as_json: bool) -> None:
    """Revoke the key with this id.

    Example: weir keys revoke k_0123456789ab
    """
    from weir.settings import home_folder

    home = home_folder()
    record = revoke_key(home, key_id)
    shown = {"id": record.id, "tenant": record.tenant, "revoked": record.revoked}
    try:
        log_access(home, "weir keys revoke", key=record.id, tenant=record.tenant)
    finally:
        print_result(shown, f"{record.id} (tenant {record.tenant}) was revoked at {record.revoked}", as_json=as_json)
