"""The command ``weir``; a subcommand is imported only when it is used, so that ``--help`` is fast."""

import errno
import importlib
import logging
import os
import sys
from collections.abc import Sequence
from typing import Any

import click

from detectors.errors import DetectorError
from serving.errors import ServingError
from stream.wire.errors import StreamError
from weir.cli.render.standard_streams import prepare_standard_streams
from weir.errors import WeirError

__all__ = ["SUBCOMMANDS", "main"]

_INTERRUPTED = 130
#: Command: (module, attribute, help line); the help line is here so that `--help` imports no subcommand.
SUBCOMMANDS: dict[str, tuple[str, str, str]] = {
    "up": ("weir.cli.up", "up", "Start everything on this machine and supervise it."),
    "down": ("weir.cli.down", "down", "Stop everything that `weir up` started."),
    "status": ("weir.cli.status", "status", "Show the health, lag and log of each component; capture and coverage."),
    "console": ("weir.cli.console", "console", "Print a link to the web console."),
    "doctor": ("weir.cli.doctor", "doctor", "Check this machine; each failed check has a remedy."),
    "demo": ("weir.cli.demo", "demo", "Send traffic and show its alerts, retraining and delivery."),
    "alerts": ("weir.cli.alerts", "alerts", "Show alerts that fired and resolved; silence them."),
    "retraining": ("weir.cli.retraining", "retraining", "Show retraining events, and why others were suppressed."),
    "dataset": ("weir.cli.dataset", "dataset", "Build, show, verify and compare datasets for training."),
    "archive": ("weir.cli.archive", "archive", "Copy Kafka's records into Parquet files that Kafka does not delete."),
    "labels": ("weir.cli.labels", "labels", "Import labels of answers; show the accuracy of the models."),
    "detectors": ("weir.cli.detectors", "detectors", "Show the precision of detectors in reviewed alerts."),
    "replay": ("weir.cli.replay", "replay_command", "Run another version of a detector over past events."),
    "show": ("weir.cli.show", "show", "Show a request with its verdicts and alerts."),
    "why": ("weir.cli.why", "why", "Show where a model version came from: the chain from requests to its route."),
    "explain": ("weir.cli.explain", "explain", "Show the words that caused a verdict."),
    "score": ("weir.cli.score", "score", "Score lines of text; needs no broker and no server."),
    "eval": ("weir.cli.evaluate", "evaluate", "Evaluate detectors on labelled data: quality, calibration, cost."),
    "train": ("weir.cli.train_version", "train", "Train a version of a model on a dataset."),
    "train-detector": ("weir.cli.train", "train_detector", "Train the weights of a detector; write a model card."),
    "gate": ("weir.cli.gate", "gate", "Compare a trained version with the champion: blessed or refused."),
    "dlq": ("weir.cli.dlq", "dlq", "List, show and replay dead letters."),
    "ledger": ("weir.cli.ledger", "ledger", "Rebuild the ledger of requests and verdicts."),
    "topics": ("weir.cli.topics", "topics", "List or create the Kafka topics."),
    "models": ("weir.cli.models", "models", "List installed models; promote and roll back trained versions."),
    "route": ("weir.cli.route", "route", "Show which version answers; stop a new version immediately."),
    "keys": ("weir.cli.keys", "keys", "Create, list and revoke API keys."),
    "contract": ("weir.cli.contract", "contract", "Print the contract of the topics: AsyncAPI, JSON Schemas."),
    "config": ("weir.cli.config", "config", "Show the effective settings and the source of each."),
}


class LazyGroup(click.Group):
    """A command group that imports a subcommand when it is used, and prints expected errors without a traceback."""

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
        """Run the subcommand; after Ctrl-C, exit with 130, as a shell does for SIGINT."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise click.exceptions.Exit(_INTERRUPTED) from None

    def main(self, args: Sequence[str] | None = None, *more: Any, **kwargs: Any) -> Any:
        """Run the command; print an expected error and exit with status 1."""
        prepare_standard_streams()
        given = sys.argv[1:] if args is None else args
        try:
            return super().main(args, *more, **kwargs)
        except (WeirError, StreamError, ServingError, DetectorError) as error:
            click.echo(f"weir: {error}", err=True)
        except OSError as error:
            full = error.errno in {errno.ENOSPC, errno.EDQUOT}
            if error.filename is None and not full:
                raise
            what = "free space on the disk" if full else "check the path and its permissions"
            click.echo(f"weir: {error.filename or 'a file cannot be written'}: {error.strerror}; {what}", err=True)
        except UnicodeEncodeError:
            wrong = next((one for one in given if one.encode(errors="ignore").decode() != one), None)
            if wrong is None:
                raise
            click.echo(f"weir: the argument {str(os.fsencode(wrong))[1:]} is not UTF-8; give it in UTF-8", err=True)
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
    """Serve language models and monitor every prompt and response as a stream.

    \b
    Examples:
      weir up                  start everything; Ctrl-C stops it
      weir status              health, lag, coverage
      weir alerts --follow     alerts as they fire
      weir show REQUEST_ID     the verdicts on one request (x-request-id of its answer)
      weir console             a link to the web console
    """
    # If Kafka does not answer, the commands print their own error with a remedy.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
