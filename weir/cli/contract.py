"""``weir contract``."""

from pathlib import Path

import click

from stream.count_text import count_text
from weir.errors import SettingsError


@click.command()
@click.argument("what", type=click.Choice(["asyncapi", "schemas"]), default="asyncapi")
@click.option(
    "--write", "folder", type=click.Path(path_type=Path), help="Write all files of the contract to this folder."
)
def contract(what: str, folder: Path | None) -> None:
    """Print the event contract: an AsyncAPI 3.1 document, or the JSON Schemas of the events.

    \b
    Examples:
      weir contract > weir.asyncapi.json
      weir contract schemas | jq '."weir.alert.v1"'
      weir contract --write docs/contract
    """
    from stream.contract import asyncapi_document, contract_files, event_schemas
    from stream.contract.document import printed

    if folder is None:
        click.echo(printed(asyncapi_document() if what == "asyncapi" else event_schemas()), nl=False)
        return
    try:
        for name, text in contract_files().items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"cannot write to {folder}: {error.strerror}; name another folder") from None
    click.echo(f"{count_text(len(contract_files()), 'file')} written to {folder}")
