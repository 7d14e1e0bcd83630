"""What ``weir alerts`` and ``weir retraining`` share: options, and printing a stream until it ends or Ctrl-C."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, TypeVar

import click
import msgspec

if TYPE_CHECKING:
    from rich.text import Text

__all__ = ["follow_option", "show_stream", "since_option", "stream_json_option"]

ItemT = TypeVar("ItemT", bound=msgspec.Struct)

follow_option = click.option(
    "--follow", is_flag=True, help="Go on as they come, until Ctrl-C; begins now without --since."
)
since_option = click.option(
    "--since", metavar="WHEN", help="Begin at a duration before now (30s, 10m, 2h, 1d) or a moment (RFC 3339)."
)
stream_json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON value a line.")


def show_stream(
    stream: AsyncGenerator[ItemT, None],
    line: Callable[[ItemT], "Text"],
    *,
    as_json: bool,
    empty: str,
    told: Callable[[ItemT], bool] = lambda _item: True,
) -> int:
    """Print every item that is `told` at once as it comes, as JSON or by `line`; the text `empty` where there was none.

    Returns how many were left out.
    """
    from weir.cli.render.status import screen

    console = screen()
    left_out = 0

    def show(item: ItemT) -> None:
        nonlocal left_out
        if not told(item):
            left_out += 1
        elif as_json:
            click.echo(msgspec.json.encode(item).decode())
        else:
            console.print(line(item), soft_wrap=True)

    shown = asyncio.run(_drain(stream, show))
    if not shown and not as_json and empty:
        click.echo(empty, err=True)
    return left_out


async def _drain(stream: AsyncGenerator[ItemT, None], show: Callable[[ItemT], None]) -> int:
    """Print until the stream ends; Ctrl-C and SIGTERM close it in order, a closed pipe ends it."""
    shown = 0
    task = asyncio.current_task()
    assert task is not None
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        with contextlib.suppress(NotImplementedError, ValueError, RuntimeError):
            loop.add_signal_handler(number, task.cancel)
    async with aclosing(stream):
        try:
            async for item in stream:
                show(item)
                shown += 1
        except asyncio.CancelledError:
            task.uncancel()
        except BrokenPipeError:
            # Nobody reads on: give the interpreter's last flush somewhere to go.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return shown
