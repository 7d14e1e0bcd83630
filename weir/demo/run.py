"""The demo: three phases of traffic, and everything that Weir says of it, as it says it."""

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from stream.wire import AlertRecord, RetrainingRecord, Verdict
from weir.client import Client
from weir.demo.prompts import INJECTION, NEW_TOPIC, ORDINARY, PERSONAL, TOXIC
from weir.demo.traffic import Answer, Traffic
from weir.demo.watch import Seen
from weir.errors import StackError
from weir.keys import create_key
from weir.settings import Loaded

__all__ = ["Outcome", "run_demo"]

_KEYS = 4
_DEADLINE_SECONDS = 240.0
_READY_SECONDS = 30.0
_SEVERITY_STYLE = {"info": "cyan", "warning": "yellow", "critical": "bold red"}


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How the demo ended.

    Parameters
    ----------
    seen
        Everything that Weir said of the demo's tenant.
    answered, refused
        Requests with an answer of the model, and without.
    """

    seen: Seen
    answered: int
    refused: int


async def run_demo(loaded: Loaded, console: Console) -> Outcome:
    """Send the demo's traffic to the running stack and follow what becomes of it.

    Raises
    ------
    StackError
        The endpoint gave no answer at all.
    """
    settings = loaded.settings
    tenant = f"demo-{secrets.token_hex(3)}"
    keys = [create_key(settings.home, tenant)[1] for _ in range(_KEYS)]
    console.print(f"tenant [bold]{tenant}[/] with {_KEYS} API keys asks [bold]{settings.model.name}[/]\n")
    base_url = f"http://{settings.http.host}:{settings.http.port}/v1"
    traffic = Traffic(base_url, settings.model.name, keys)
    seen = Seen(tenant=tenant, started=time.monotonic())
    with _progress(console) as progress:
        followers = await _follow(loaded, seen, progress.console)
        try:
            seen.started = time.monotonic()
            await _phases(traffic, progress)
            await _until_seen(seen, traffic, progress)
        finally:
            for follower in followers:
                follower.cancel()
            await asyncio.gather(*followers, return_exceptions=True)
            await traffic.close()
    answered = sum(answer.status == 200 for answer in traffic.answers)
    if not answered:
        statuses = sorted({answer.status for answer in traffic.answers})
        raise StackError(
            f"{base_url} answered none of {len(traffic.answers)} requests (status {statuses}); see `weir status`"
        )
    return Outcome(seen=seen, answered=answered, refused=len(traffic.answers) - answered)


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description:34}"),
        BarColumn(24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
    )


async def _phases(traffic: Traffic, progress: Progress) -> None:
    odd = (*PERSONAL, *TOXIC, *INJECTION)
    phases = (
        ("1/3 ordinary prompts", ORDINARY),
        ("2/3 personal, toxic, injection", odd),
        ("3/3 another topic", NEW_TOPIC),
    )
    for name, prompts in phases:
        task = progress.add_task(name, total=len(prompts))
        await traffic.send(prompts, lambda _, task=task: progress.advance(task))


async def _until_seen(seen: Seen, traffic: Traffic, progress: Progress) -> None:
    """Go on with the new topic, gently, until all that was promised was seen or the deadline has come."""
    task = progress.add_task("waiting", total=None)

    def answered(_: Answer) -> None:
        progress.advance(task)

    while missing := seen.missing():
        if time.monotonic() - seen.started > _DEADLINE_SECONDS:
            return
        progress.update(task, description=f"waiting for: {', '.join(missing)}")
        await traffic.send((*NEW_TOPIC[:8], TOXIC[0]), answered)
        await asyncio.sleep(0.5)
    progress.update(task, visible=False)


async def _follow(loaded: Loaded, seen: Seen, console: Console) -> list[asyncio.Task[None]]:
    """Follow verdicts, alerts and retraining events from now on; returns once all three are read."""
    client = Client(loaded)
    lines: tuple[tuple[Callable[..., AsyncIterator[Any]], Callable[[Any], str]], ...] = (
        (client.verdicts, lambda verdict: _verdict_line(seen, verdict)),
        (client.alert_records, lambda alert: _alert_line(seen, alert)),
        (client.retraining_records, lambda event: _retraining_line(seen, event)),
    )

    async def follow(records: AsyncIterator[Any], line: Callable[[Any], str]) -> None:
        async for record in records:
            if text := line(record):
                console.print(f"[dim]{time.monotonic() - seen.started:6.1f} s[/]  {text}", highlight=False)

    return [asyncio.create_task(follow(read(since="1s"), line)) for read, line in lines]


def _verdict_line(seen: Seen, verdict: Verdict) -> str:
    if not seen.verdict(verdict):
        return ""
    found = ", ".join(sorted({span.type for span in verdict.spans}))
    return (
        f"verdict     {verdict.detector:10} {verdict.side:6} score {verdict.score:.2f}"
        f"  {found or verdict.label}  [dim]request {verdict.request_id}[/]"
    )


def _alert_line(seen: Seen, alert: AlertRecord) -> str:
    if not seen.alert(alert):
        return ""
    style = _SEVERITY_STYLE.get(alert.severity, "")
    return (
        f"[{style}]alert       {alert.detector:10} {alert.side:6} {alert.state}, {alert.severity}[/]  {alert.summary}"
    )


def _retraining_line(seen: Seen, event: RetrainingRecord) -> str:
    if not seen.retraining(event):
        return ""
    style = "bold green" if event.state == "requested" else "dim"
    return f"[{style}]retraining  {event.state}[/]  {event.reason}"
