"""The command ``weir``: a group whose subcommands are imported when they are used, so that ``--help`` is quick."""

import importlib
import sys
from typing import Any

import click

from stream.wire.errors import StreamError
from weir.errors import WeirError

__all__ = ["SUBCOMMANDS", "main"]

#: Command → (module, attribute, one line of help); the line is repeated here so that help imports nothing.
SUBCOMMANDS: dict[str, tuple[str, str, str]] = {
    "up": ("weir.cli.up", "up", "Start everything on this machine and watch over it."),
    "down": ("weir.cli.down", "down", "Stop exactly what `weir up` started."),
    "status": ("weir.cli.status", "status", "Each component, its health, lag and log; capture and coverage."),
    "console": ("weir.cli.console", "console", "A link to the page where requests, alerts and drift are seen."),
    "doctor": ("weir.cli.doctor", "doctor", "What this machine lacks, and how to get it."),
    "demo": ("weir.cli.demo", "demo", "Real traffic through a running stack, until it alerts."),
    "alerts": ("weir.cli.alerts", "alerts", "Alerts that fired and resolved."),
    "retraining": ("weir.cli.retraining", "retraining", "Retraining events: requested, suppressed and why."),
    "replay": ("weir.cli.replay", "replay_command", "What another version of a detector would have alerted on."),
    "show": ("weir.cli.show", "show", "All that is known of one request."),
    "explain": ("weir.cli.explain", "explain", "Which words made an event alert."),
    "score": ("weir.cli.score", "score", "Run the detectors over lines of text; no broker, no server."),
    "eval": ("weir.cli.evaluate", "evaluate", "Detectors measured on labelled data: quality, calibration, cost."),
    "train-detector": ("weir.cli.train", "train_detector", "Train a detector's weights; writes a model card."),
    "dlq": ("weir.cli.dlq", "dlq", "Dead letters: list, show, and put them back."),
    "ledger": ("weir.cli.ledger", "ledger", "The ledger of what is owed and settled; rebuild it."),
    "topics": ("weir.cli.topics", "topics", "The topics of Weir; create them."),
    "models": ("weir.cli.models", "models", "The models that are installed, their digests and sources."),
    "keys": ("weir.cli.keys", "keys", "API keys: create, list, revoke."),
    "contract": ("weir.cli.contract", "contract", "The contract of the topics: AsyncAPI, JSON Schemas."),
    "config": ("weir.cli.config", "config", "The effective settings and where each comes from."),
}


class LazyGroup(click.Group):
    """A group that imports a subcommand when it is invoked, and shows Weir's errors as one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names in the order of :data:`SUBCOMMANDS`."""
        del ctx
        return list(SUBCOMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return the subcommand."""
        del ctx
        if cmd_name not in SUBCOMMANDS:
            return None
        module, attribute, _ = SUBCOMMANDS[cmd_name]
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the list of subcommands without importing them."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, _, line) in SUBCOMMANDS.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Run, and turn an expected error into one line and exit status 1."""
        try:
            return super().invoke(ctx)
        except (WeirError, StreamError) as error:
            click.echo(f"weir: {error}", err=True)
            sys.exit(1)


@click.command(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog=(
        "Settings: defaults, then weir.toml, then WEIR_<SECTION>__<KEY>; see `weir config`.\n\n"
        'Completion: eval "$(_WEIR_COMPLETE=bash_source weir)" in ~/.bashrc (zsh_source for zsh; '
        "`_WEIR_COMPLETE=fish_source weir | source` for fish)."
    ),
)
@click.version_option(package_name="weir-llm", message="%(package)s %(version)s")
def main() -> None:
    """Serve language models and watch every prompt and response as a stream.

    \b
    Examples:
      weir up                  start everything; Ctrl-C stops it
      weir status              is it healthy, is anything missing
      weir alerts --follow     alerts as they fire
    """  # noqa: D301 - click's \b keeps the lines as they are
