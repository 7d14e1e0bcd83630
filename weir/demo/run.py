"""The demo: send requests in three phases, and print at once what Weir publishes about them."""

import asyncio
import secrets
import time
from collections.abc import Callable
from contextlib import aclosing
from functools import partial

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

from stream.count_text import count_text
from stream.kafka.tail import Tail
from stream.ledger.queries.ledger_reader import LedgerReader
from stream.score_text import score_text
from stream.settings import KafkaSettings
from stream.wire import AlertRecord, Event, RetrainingRecord, Verdict
from weir.client import effective_kafka
from weir.demo.backlog import Backlog, Deadline
from weir.demo.last_verdicts import LIMIT_SECONDS, last_verdicts
from weir.demo.loop import Loop
from weir.demo.prompts import INJECTION, NEW_TOPIC, ORDINARY, PERSONAL, TOXIC
from weir.demo.results import DemoResults
from weir.demo.reviews import Reviews, delivered
from weir.demo.traffic import Answer, Traffic
from weir.errors import StackError
from weir.home.api_keys import create_key
from weir.sentinel.client import endpoint
from weir.settings import Loaded, Settings

_KEYS = 4
_SEVERITY_STYLE = {"info": "cyan", "warning": "yellow", "critical": "bold red"}
_STATE_STYLE = {
    "requested": "bold green",
    "blessed": "bold green",
    "promoted": "bold green",
    "rolled_back": "bold yellow",
    "refused": "bold red",
    "failed": "bold red",
}
#: (Name of the phase, its prompts, the expected reaction of Weir).
_PHASES = (
    ("1/3 ordinary prompts", ORDINARY, "household questions; Weir learns them as the reference for drift"),
    (
        "2/3 harmful prompts",
        (*PERSONAL, *TOXIC, *INJECTION),
        "personal data, insults, prompt injection; each should be flagged",
    ),
    ("3/3 another topic", NEW_TOPIC, "software questions; Weir should report drift, then request retraining"),
)


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """Results, numbers of answered and failed requests, and the score stage's backlog at the end ("" if there is none)."""

    results: DemoResults
    answered: int
    refused: int
    backlog: str


async def run_demo(loaded: Loaded, console: Console, *, quick: bool) -> Outcome:
    """Send the demo's requests to the running stack, and print what Weir publishes about them.

    With `quick`, the demo ends with the retraining request; else reviewers correct answers, and a version is trained.
    Raises StackError if no request is answered or a step fails, and StreamError if a topic cannot be read.
    """
    settings = loaded.settings
    kafka = effective_kafka(settings)
    tenant = f"demo-{secrets.token_hex(3)}"
    keys = [create_key(settings.home, tenant)[1] for _ in range(_KEYS)]
    _print_plan(console, tenant, settings.first_model)
    base_url = endpoint(settings.http.host, settings.http.port)
    traffic = Traffic(base_url, settings.first_model, keys)
    results = DemoResults(tenant=tenant, started=time.monotonic())
    with _progress(console) as progress:
        line = partial(_print_line, progress.console, results)
        backlog = Backlog(progress, line)
        followers = _follow(kafka, results, line)
        tasks = [*followers, asyncio.create_task(backlog.follow(kafka))]
        try:
            results.started = time.monotonic()
            reviews = Reviews(traffic) if not quick else None
            for name, prompts, _ in _PHASES:
                advance = partial(_advance, progress, progress.add_task(name, total=len(prompts)), reviews)
                await traffic.send(prompts, advance)
            seen = asyncio.create_task(_until_seen(results, traffic, progress, backlog, reviews))
            tasks.append(seen)
            done, _ = await asyncio.wait((seen, *followers), return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()  # a follower ends only with an error
            if reviews is not None:
                await reviews.finish()
                line(f"reviewers sent {count_text(len(reviews.accepted), 'better answer')}")
                await delivered(kafka, reviews.accepted, reviews.began)
                await _close_loop(settings, kafka, traffic, results, progress)
            if not backlog.notable:
                await _count_last_verdicts(settings, traffic, results, line)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            backlog.hide()
            await traffic.close()
    answered = sum(answer.status == 200 for answer in traffic.answers)
    if not answered:
        statuses = sorted({answer.status for answer in traffic.answers})
        raise StackError(
            f"{base_url} answered none of {len(traffic.answers)} requests (HTTP status {statuses}; 0: no answer); see `weir status`"
        )
    return Outcome(results=results, answered=answered, refused=len(traffic.answers) - answered, backlog=str(backlog))


def _print_plan(console: Console, tenant: str, model: str) -> None:
    console.print(f"The demo sends three kinds of prompts to [bold]{model}[/], as the new tenant [bold]{tenant}[/]:")
    for name, prompts, purpose in _PHASES:
        console.print(f"  {name:22} {len(prompts):3} prompts: {purpose}")
    console.print(
        "Below, with the seconds since the first request: each verdict that flags a prompt or an answer, each alert, and each retraining "
        "decision; retraining is suppressed while one of its conditions does not hold.\n"
    )


def _progress(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description:34}"),
        BarColumn(24),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
        console=console,
    )


def _advance(progress: Progress, task: TaskID, reviews: Reviews | None, answer: Answer) -> None:
    progress.advance(task)
    if reviews is not None:
        reviews.add(answer)


async def _close_loop(
    settings: Settings, kafka: KafkaSettings, traffic: Traffic, results: DemoResults, progress: Progress
) -> None:
    task = progress.add_task("the closed loop", total=None)
    loop = Loop(
        home=settings.home,
        kafka=kafka,
        model=settings.first_model,
        traffic=traffic,
        results=results,
        status=lambda text: progress.update(task, description=text),
    )
    await loop.run()
    progress.update(task, visible=False)


async def _count_last_verdicts(
    settings: Settings, traffic: Traffic, results: DemoResults, line: Callable[[str], None]
) -> None:
    answered = [answer.request_id for answer in traffic.answers if answer.status == 200]
    reader = LedgerReader(settings.home / "ledger")
    if incomplete := await last_verdicts(reader.request, answered, lambda: results.counted):
        line(
            f"{count_text(incomplete, 'request has', 'requests have')} missing verdicts after {LIMIT_SECONDS:.0f} s; the counts below are without them"
        )


async def _until_seen(
    results: DemoResults, traffic: Traffic, progress: Progress, backlog: Backlog, reviews: Reviews | None
) -> None:
    """Slowly send more prompts about the new subject until no result is missing or the deadline has passed."""
    task = progress.add_task("waiting", total=None)
    deadline = Deadline(results.started)
    while missing := results.missing():
        if deadline.passed(time.monotonic(), backlog):
            return
        progress.update(task, description=f"waiting for: {', '.join(missing)}")
        if not backlog.notable:  # more requests would only lengthen a backlog
            await traffic.send((*NEW_TOPIC[:8], TOXIC[0]), partial(_advance, progress, task, reviews))
        await asyncio.sleep(0.5)
    progress.update(task, visible=False)


def _print_line(console: Console, results: DemoResults, text: str) -> None:
    console.print(f"[dim]{time.monotonic() - results.started:6.1f} s[/]  {text}", highlight=False)


def _follow(kafka: KafkaSettings, results: DemoResults, line: Callable[[str], None]) -> list[asyncio.Task[None]]:
    """Follow new verdicts, alerts and retraining events, and print those of the demo."""

    async def follow(topic: str) -> None:
        tail = Tail(kafka.client_options(), topic, since=time.time() - 1, follow=True)
        async with aclosing(tail.events()) as events:
            async for _, event in events:
                if text := _line(results, event):
                    line(text)

    names = kafka.names
    return [asyncio.create_task(follow(topic)) for topic in (names.verdicts, names.alerts, names.retraining)]


def _line(results: DemoResults, event: Event) -> str:
    """Return a line if the event is a new result of the demo's tenant, else ""."""
    match event.data:
        case Verdict() as verdict if results.add_verdict(verdict):
            return _verdict_line(verdict)
        case AlertRecord() as alert if results.add_alert(alert):
            return _alert_line(alert)
        case RetrainingRecord() as retraining if results.add_retraining(retraining, event.causationid):
            return _retraining_line(retraining)
    return ""


def _verdict_line(verdict: Verdict) -> str:
    text = "prompt" if verdict.side == "input" else "answer"
    found = ", ".join(sorted({span.type for span in verdict.spans})) or verdict.label
    return f"verdict     {verdict.detector} flagged the {text} [dim]of request {verdict.request_id}[/]: {found}, score {score_text(verdict.score)}"


def _alert_line(alert: AlertRecord) -> str:
    style = _SEVERITY_STYLE.get(alert.severity, "")
    return f"[{style}]alert       {alert.detector} {alert.state}, {alert.severity}[/]  {escape(alert.summary)}"


def _retraining_line(event: RetrainingRecord) -> str:
    style = _STATE_STYLE.get(event.state, "dim")
    said = [event.reason, event.model_version, *(f"{name} {value:.4g}" for name, value in _shown_numbers(event))]
    return f"[{style}]retraining  {event.state}[/]  {escape('  '.join(filter(None, said)))}"


def _shown_numbers(event: RetrainingRecord) -> list[tuple[str, float]]:
    """Return the numbers of a dataset and of a training; the other states have theirs in the reason."""
    return sorted(event.numbers.items()) if event.state in ("dataset", "progress", "trained") else []
