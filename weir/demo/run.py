"""The demo: three phases of traffic, and everything that Weir says of it, as it says it."""

import asyncio
import secrets
import time
from collections.abc import Callable
from contextlib import aclosing
from functools import partial
from typing import Any

import msgspec
from rich.console import Console
from rich.markup import escape
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from stream.kafka.tail import Tail
from stream.wire import AlertRecord, RetrainingRecord, Verdict, WireError, decode
from weir.client import effective_kafka
from weir.demo.backlog import BacklogView, follow_backlog, score_position
from weir.demo.prompts import INJECTION, NEW_TOPIC, ORDINARY, PERSONAL, TOXIC
from weir.demo.results import Seen
from weir.demo.traffic import Answer, Traffic
from weir.errors import StackError
from weir.home.api_keys import create_key
from weir.settings import Loaded

__all__ = ["Outcome", "run_demo"]

_KEYS = 4
_DEADLINE_SECONDS = 240.0
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
        line = partial(_print_line, progress.console, seen)
        backlog = BacklogView(progress, line)
        watching = follow_backlog(partial(score_position, effective_kafka(settings)), backlog.show)
        followers = [*_follow(loaded, seen, line), asyncio.create_task(watching)]
        try:
            seen.started = time.monotonic()
            await _phases(traffic, progress)
            await _until_seen(seen, traffic, progress)
        finally:
            for follower in followers:
                follower.cancel()
            await asyncio.gather(*followers, return_exceptions=True)
            backlog.hide()
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
        await traffic.send(prompts, partial(_advance, progress, task))


def _advance(progress: Progress, task: TaskID, _: Answer) -> None:
    progress.advance(task)


async def _until_seen(seen: Seen, traffic: Traffic, progress: Progress) -> None:
    """Go on with the new topic, gently, until all that was promised was seen or the deadline has come."""
    task = progress.add_task("waiting", total=None)
    while missing := seen.missing():
        if time.monotonic() - seen.started > _DEADLINE_SECONDS:
            return
        progress.update(task, description=f"waiting for: {', '.join(missing)}")
        await traffic.send((*NEW_TOPIC[:8], TOXIC[0]), partial(_advance, progress, task))
        await asyncio.sleep(0.5)
    progress.update(task, visible=False)


def _print_line(console: Console, seen: Seen, text: str) -> None:
    console.print(f"[dim]{time.monotonic() - seen.started:6.1f} s[/]  {text}", highlight=False)


def _follow(loaded: Loaded, seen: Seen, line: Callable[[str], None]) -> list[asyncio.Task[None]]:
    """Follow verdicts, alerts and retraining events from now on, and print what is news."""
    kafka = effective_kafka(loaded.settings)

    async def follow(topic: str) -> None:
        tail = Tail(kafka.client_options(), topic, since=time.time() - 1, follow=True)
        async with aclosing(tail.records()) as records:
            async for record in records:
                if text := _line(seen, record):
                    line(text)

    names = kafka.names
    return [asyncio.create_task(follow(topic)) for topic in (names.verdicts, names.alerts, names.retraining)]


def _line(seen: Seen, record: Any) -> str:
    """Return what a record says that is news, or ""."""
    try:
        event = decode(record.value, record.headers)
    except WireError:
        return ""
    match event.data:
        case Verdict() as verdict if seen.verdict(verdict):
            return _verdict_line(verdict)
        case AlertRecord() as alert if seen.alert(alert):
            return _alert_line(alert)
        case RetrainingRecord() as retraining if seen.retraining(retraining, event.causationid):
            return _retraining_line(retraining)
    return ""


def _verdict_line(verdict: Verdict) -> str:
    found = ", ".join(sorted({span.type for span in verdict.spans}))
    return (
        f"verdict     {verdict.detector:10} {verdict.side:6} score {verdict.score:.2f}"
        f"  {found or verdict.label}  [dim]request {verdict.request_id}[/]"
    )


def _alert_line(alert: AlertRecord) -> str:
    style = _SEVERITY_STYLE.get(alert.severity, "")
    return f"[{style}]alert       {alert.detector:10} {alert.side:6} {alert.state}, {alert.severity}[/]  {escape(alert.summary)}"


def _retraining_line(event: RetrainingRecord) -> str:
    style = "bold green" if event.state == "requested" else "dim"
    return f"[{style}]retraining  {event.state}[/]  {escape(event.reason)}"
