"""One request's story for a person: what came in, what the detectors said of it, which alert, which retraining event."""

from collections.abc import Iterator
from datetime import UTC, datetime

from rich.text import Text

from stream.ledger.queries.request_story import ExplanationNote, RecordLocation, RequestStory, VerdictNote
from stream.wire import AlertRecord, RetrainingRecord
from weir.operate.request_story import RequestText

__all__ = ["story_lines"]

_SEVERITY_STYLE = {"info": "cyan", "warning": "yellow", "critical": "bold red"}
_INDENT = " " * 14
_SPANS_SHOWN = 6
_WORDS_SHOWN = 6


def story_lines(story: RequestStory, *, trace_url: str = "", text: RequestText | None = None) -> Iterator[Text]:
    """Yield the story line by line, in the order of cause and effect.

    Parameters
    ----------
    story
        From the ledger.
    trace_url
        A link to its trace, or "".
    text
        Prompt and answer, where they were asked for.
    """
    yield from _head(story, trace_url)
    if story.gap is not None:
        gap = story.gap
        numbers = f"{gap.first_number} to {gap.last_number} of source {gap.source}"
        told = f"  numbers {numbers} are counted in a gap record: {gap.reason}"
        yield _line(gap.time, ("NOT DELIVERED", "bold red"), told)
    if story.events is not None:
        for place in story.events.locations:
            yield _event(story, place)
            content = _content(place, text)
            yield from _text(place, text)
            yield from _verdicts(story.events.verdicts, place, content)
        if story.events.end is None:
            yield Text(f"{_INDENT}the end is not in the log yet", style="yellow")
    for alert in story.alerts:
        yield _alert(alert)
    for record in story.retraining:
        yield _retraining(record)
    if story.events is not None and not story.alerts:
        yield Text(f"{_INDENT}no alert holds it as evidence", style="dim")


def _head(story: RequestStory, trace_url: str) -> Iterator[Text]:
    head = Text.assemble(("request ", "bold"), story.request_id)
    if story.events is not None:
        head.append(f"  tenant {story.events.tenant}, model {story.events.model}")
    yield head
    if story.trace_id:
        yield Text.assemble(("trace   ", "bold"), trace_url or story.trace_id)
    yield Text("")


def _event(story: RequestStory, place: RecordLocation) -> Text:
    where = (f"  {place.topic}/{place.partition} at {place.offset}", "dim")
    if place.side == "input":
        return _line(place.time, ("request", "bold"), "  accepted", where)
    end = story.events.end if story.events else None
    assert end is not None
    style = "bold" if end.status == "complete" else "bold red"
    parts = [f"{end.usage.prompt_tokens} + {end.usage.completion_tokens} tokens", f"{end.latency_seconds:.2f} s"]
    if end.finish_reason:
        parts.insert(0, end.finish_reason)
    if end.time_to_first_token_seconds is not None:
        parts.append(f"first token after {end.time_to_first_token_seconds:.2f} s")
    return _line(place.time, ("end    ", "bold"), "  ", (end.status, style), f": {', '.join(parts)}", where)


def _content(place: RecordLocation, text: RequestText | None) -> str | None:
    """Return the raw text of an event, where it was asked for and is there."""
    if text is None:
        return None
    return text.prompt if place.side == "input" else text.answer


def _text(place: RecordLocation, text: RequestText | None) -> Iterator[Text]:
    if text is None:
        return
    content = _content(place, text)
    if content is None:
        yield Text(f"{_INDENT}the log no longer has this record", style="yellow")
        return
    for line in content.splitlines() or [""]:
        yield Text(f"{_INDENT}│ {_printable(line)}", style="italic")


def _printable(line: str) -> str:
    """Keep a prompt from steering the terminal that it is shown on."""
    return "".join(char if char.isprintable() or char == "\t" else "\ufffd" for char in line)


def _verdicts(notes: tuple[VerdictNote, ...], place: RecordLocation, content: str | None) -> Iterator[Text]:
    settled = [note for note in notes if note.event_id == place.event_id]
    for note in settled:
        verdict = note.verdict
        style = "bold red" if verdict.flagged else "yellow" if verdict.label == "error" else "green"
        line = Text(f"{_INDENT}{verdict.side:7} {verdict.detector:12} ")
        line.append(f"{'FLAGGED' if verdict.flagged else verdict.label:12}", style=style)
        line.append(f" {verdict.score:.2f}")
        if verdict.covered < 1:
            line.append(f", {verdict.covered:.0%} of the text was looked at", style="yellow")
        spans = [f"{span.type} {span.start}-{span.end}" for span in verdict.spans]
        if spans:
            more = f" and {len(spans) - _SPANS_SHOWN} more" if len(spans) > _SPANS_SHOWN else ""
            line.append(f"  {', '.join(spans[:_SPANS_SHOWN])}{more}")
        line.append(f"  version {verdict.version}", style="dim")
        yield line
        if note.explanation is not None:
            yield _explanation(note.explanation, content)
    for detector in place.owed:
        if detector not in {note.verdict.detector for note in settled}:
            yield Text.assemble(f"{_INDENT}{place.side:7} {detector:12} ", ("owed, no verdict yet", "yellow"))


def _explanation(told: ExplanationNote, content: str | None) -> Text:
    """Return the words that speak most for a verdict: their places, and the words where the text was asked for."""
    ordered = sorted(told.words, key=lambda word: (-word.weight, word.start))
    shown = [word for word in ordered if word.weight > 0][:_WORDS_SHOWN]
    parts = [
        f"{_printable(content[word.start : word.end]) + ' ' if content else ''}{word.start}-{word.end} {word.weight:+.2f}"
        for word in shown
    ]
    line = Text(f"{_INDENT}        rests on {', '.join(parts) or 'no single word'}")
    line.append(f"  {told.method}, log-odds, of {told.attributed} words", style="dim")
    return line


def _alert(alert: AlertRecord) -> Text:
    style = _SEVERITY_STYLE.get(alert.severity, "")
    state = alert.state if alert.resolved_at is None else f"resolved {_clock(alert.resolved_at)}"
    return _line(
        alert.opened_at,
        ("ALERT  ", style or "bold"),
        f"  {alert.detector} {alert.severity}, {state}: {alert.summary}",
        (f"  {alert.alert_id}", "dim"),
    )


def _retraining(record: RetrainingRecord) -> Text:
    return _line(
        record.at,
        ("RETRAIN", "bold magenta"),
        f"  {record.state}: {record.reason}",
        (f"  {record.retraining_id}", "dim"),
    )


def _line(time: float, *parts: str | tuple[str, str]) -> Text:
    return Text.assemble((f"{_clock(time)}  ", "dim"), *parts)


def _clock(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).astimezone().strftime("%H:%M:%S.%f")[:12]
