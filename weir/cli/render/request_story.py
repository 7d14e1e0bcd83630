"""One request as text: its events, verdicts, alerts and retraining events, in order of time."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime

import msgspec
from rich.text import Text

from detectors.base import ERROR, UNSUPPORTED_LANGUAGE
from stream.count_text import count_text
from stream.ledger.queries.request_story import ExplanationNote, RecordLocation, RequestStory, VerdictNote
from stream.score_text import percent_text, score_text
from stream.wire import ABORTED, AlertRecord, CorrectionRecord, RetrainingRecord, Span, Verdict
from weir.cli.render.alert import SEVERITY_STYLE
from weir.cli.render.content import content_lines
from weir.cli.render.output import printable
from weir.client.times import format_time
from weir.operate.cluster_terms import ClusterTerms
from weir.operate.request_text import RequestText
from weir.operate.retraining_history import RetrainingEntry, RetrainingHistory

_INDENT = " " * 14
#: Labels of texts that a detector read only in part, or whose language it does not support.
_UNREAD = (ERROR, UNSUPPORTED_LANGUAGE)
_SPANS_SHOWN = 6
_WORDS_SHOWN = 6


def story_lines(
    story: RequestStory,
    *,
    trace_url: str = "",
    text: RequestText | None = None,
    cluster_terms: Mapping[str, ClusterTerms] | None = None,
) -> Iterator[Text]:
    """Yield the lines of text that describe a request."""
    day = _date(story.at)
    yield from _head(story, day, trace_url)
    if story.gap is not None:
        gap = story.gap
        numbers = f"numbers {gap.first_number} to {gap.last_number} of source {gap.source}"
        lost = f"  lost at or before {format_time(gap.time)}, counted in a gap record ({numbers}): {gap.reason}"
        yield Text.assemble(_INDENT, ("NOT DELIVERED", "bold red"), lost)
    if story.events is not None:
        for location in story.events.locations:
            yield _event(story, day, location)
            completed = [note for note in story.events.verdicts if note.event_id == location.event_id]
            if text is not None:
                yield from _text(text, location.side, [note.verdict for note in completed])
            yield from _verdicts(completed, location, text)
        if story.events.end is None:
            yield Text(f"{_INDENT}no end record yet", style="yellow")
    yield from _consistency(story.consistency)
    yield from _judgments(story, text)
    for alert in story.alerts:
        yield _alert(alert, day)
        if alert.alert_id in (cluster_terms or {}):
            yield _terms((cluster_terms or {})[alert.alert_id])
    history: RetrainingHistory[RetrainingRecord] = RetrainingHistory()
    for record in story.retraining:
        history.add(record)
    yield from (_retraining(entry, day) for entry in history.entries.values())
    if story.events is not None and not story.alerts:
        yield Text(f"{_INDENT}no alert has this request as evidence", style="dim")


def _head(story: RequestStory, day: str, trace_url: str) -> Iterator[Text]:
    head = Text.assemble(("request ", "bold"), story.request_id)
    if story.events is not None:
        head.append(f"  {day}  tenant {story.events.tenant}, model {story.events.model}")
    yield head
    if story.events is not None and story.events.shadow_of:
        yield Text.assemble(("copy    ", "bold"), f"of request {story.events.shadow_of}; no user received this answer")
    if story.trace_id:
        yield Text.assemble(("trace   ", "bold"), trace_url or story.trace_id)
    yield Text("")


def _event(story: RequestStory, day: str, location: RecordLocation) -> Text:
    record = (f"  {location.topic}/{location.partition} at {location.offset}", "dim")
    if location.side == "input":
        return _line(day, location.time, ("request", "bold"), "  accepted", record)
    end = story.events.end if story.events else None
    assert end is not None
    style = "bold" if end.status == "complete" else "bold red"
    tokens = f"{end.usage.prompt_tokens} + {end.usage.completion_tokens} tokens"
    duration = f"{end.latency_seconds:.2f} s" if end.latency_seconds else "duration unknown"
    parts = [tokens if end.usage.total_tokens else "tokens unknown", duration]
    if end.status == ABORTED and not end.latency_seconds:
        parts = ["its gateway ended first, so its answer and its tokens are unknown"]
    if end.finish_reason:
        parts.insert(0, printable(end.finish_reason, kept=""))
    if end.time_to_first_token_seconds is not None:
        parts.append(f"first token after {end.time_to_first_token_seconds:.2f} s")
    if end.guard is not None:
        guard = end.guard
        done = "stopped by the guard" if guard.stopped else "the guard found"
        parts.append(
            f"{done}: {guard.detector} at token {guard.position_tokens}, {count_text(guard.exposed_tokens, 'token')} sent"
        )
    return _line(day, location.time, ("end    ", "bold"), "  ", (end.status, style), f": {', '.join(parts)}", record)


def _text(text: RequestText, side: str, verdicts: list[Verdict]) -> Iterator[Text]:
    if text.joined(side) is None:
        yield Text(f"{_INDENT}the record has expired", style="yellow")
        return
    for line in content_lines(text.content(side), verdicts):
        yield Text(_INDENT) + line


def _verdicts(completed: list[VerdictNote], location: RecordLocation, text: RequestText | None) -> Iterator[Text]:
    for note in completed:
        yield _verdict(note)
        if note.explanation is not None:
            yield _explanation(note.explanation, text.text_of(note.verdict) if text is not None else None)
        if text is not None and location.side == "output":
            yield from _quotes(text, note.verdict.detector)
    for detector in location.owed:
        if detector not in {note.verdict.detector for note in completed}:
            yield Text.assemble(f"{_INDENT}{location.side:7} {detector:12} ", ("expected, no verdict yet", "yellow"))


def _quotes(text: RequestText, detector: str) -> Iterator[Text]:
    """Yield a detector's quotes: the texts of spans that are in neither the prompt nor the answer."""
    for quote in text.quotes:
        for row, line in enumerate(printable(quote.text).split("\n") if quote.detector == detector else ()):
            head = f"{quote.type}: " if row == 0 else ""
            yield Text.assemble(_INDENT, "        ", (head, "dim"), (line, "italic"))


def _consistency(verdict: Verdict | None) -> Iterator[Text]:
    if verdict is not None:
        # On the copy, the part of the user's answer is a pointer into the context; here it is the answer itself.
        line = _scored(verdict).append(_spans([msgspec.structs.replace(span, part="") for span in verdict.spans]))
        yield line.append(f"  the model was asked again: weir show {verdict.request_id}", style="dim")


def _scored(verdict: Verdict) -> Text:
    """Return the beginning of a verdict's line: side, detector, result and score."""
    style = "bold red" if verdict.flagged else "yellow" if verdict.label in _UNREAD else "green"
    line = Text(f"{_INDENT}{verdict.side:7} {verdict.detector:12} ")
    # The label of `tools`, for example, states which of its checks failed; the label of most other detectors is their name.
    flagged = "FLAGGED" if verdict.label == verdict.detector else f"FLAGGED {verdict.label}"
    line.append(f"{flagged if verdict.flagged else verdict.label:20}", style=style)
    return line.append(f" {score_text(verdict.score)}")


def _verdict(note: VerdictNote) -> Text:
    verdict, line = note.verdict, _scored(note.verdict)
    if verdict.covered < 1:
        line.append(f", {percent_text(verdict.covered)} of the text was scored", style="yellow")
    if verdict.part:
        line.append(f"  {verdict.part}")
    line.append(_spans(verdict.spans))
    line.append(f"  version {verdict.version}", style="dim")
    return line


def _spans(spans: Sequence[Span]) -> str:
    """Return the first spans with two leading spaces, or "" without spans."""
    texts = [f"{span.type} {span.start}-{span.end}{f' of {span.part}' if span.part else ''}" for span in spans]
    more = f" and {len(spans) - _SPANS_SHOWN} more" if len(spans) > _SPANS_SHOWN else ""
    return f"  {', '.join(texts[:_SPANS_SHOWN])}{more}" if texts else ""


def _explanation(explanation: ExplanationNote, content: str | None) -> Text:
    """Return the offsets of the words with the largest weights, and the words themselves if the text was read."""
    ordered = sorted(explanation.words, key=lambda word: (-word.weight, word.start))
    shown = [word for word in ordered if word.weight > 0][:_WORDS_SHOWN]
    parts = [
        f"{printable(content[word.start : word.end]) + ' ' if content else ''}{word.start}-{word.end} {word.weight:+.2f}"
        for word in shown
    ]
    line = Text(f"{_INDENT}        because of {', '.join(parts) or 'no single word'}")
    line.append(f"  {explanation.method}, log-odds, {count_text(explanation.attributed, 'word')}", style="dim")
    return line


def _judgments(story: RequestStory, text: RequestText | None) -> Iterator[Text]:
    """Yield the numbers of ratings, corrections and labels, and the corrections if the text was read."""
    if counts := story.judgments.counts:
        words = ", ".join(map(_counted, counts, counts.values()))
        yield Text.assemble(_INDENT, ("feedback  ", "bold"), printable(words, kept=""))
    for correction in text.corrections if text is not None else ():
        yield from _correction(correction)


def _counted(what: str, count: int) -> str:
    """Return "rated 3: 1 time" or "corrections: 2"."""
    return f"{what}: {count_text(count, 'time')}" if what.startswith("rated ") else f"{what}: {count}"


def _correction(correction: CorrectionRecord) -> Iterator[Text]:
    """Yield the lines of what a person wrote about the answer."""
    for what, text in (("better answer", correction.answer), ("comment", correction.comment)):
        for row, line in enumerate(printable(text).split("\n") if text else ()):
            head = f"{what} by {correction.principal}: " if row == 0 else ""
            yield Text.assemble(_INDENT, (printable(head, kept=""), "dim"), (line, "italic"))


def _alert(alert: AlertRecord, day: str) -> Text:
    state = alert.state if alert.resolved_at is None else f"resolved {_clock(alert.resolved_at, day)}"
    return _line(
        day,
        alert.opened_at,
        ("ALERT  ", SEVERITY_STYLE.get(alert.severity, "bold")),
        f"  {alert.detector} {alert.severity}, {state}: {alert.summary}",
        (f"  {alert.alert_id}", "dim"),
    )


def _terms(found: ClusterTerms) -> Text:
    """Return the typical terms of an alert's cluster, each with the number of texts that contain it."""
    terms = ", ".join(f"{printable(one.term)} {one.texts}/{found.texts}" for one in found.terms) or "none"
    line = Text(f"{_INDENT}        typical terms: {terms}")
    line.append(
        f"  in {count_text(found.texts, 'evidence text')}, compared with {count_text(found.reference_texts, 'earlier text')}",
        style="dim",
    )
    return line


def _retraining(entry: RetrainingEntry[RetrainingRecord], day: str) -> Text:
    record = entry.event
    count = f"{entry.count} times since {_clock(entry.first_at, day)}, newest " if entry.count > 1 else ""
    return _line(
        day,
        record.at,
        ("RETRAIN", "bold magenta"),
        f"  {record.state}: {record.reason}",
        (f"  {count}{record.retraining_id}", "dim"),
    )


def _line(day: str, time: float, *parts: str | tuple[str, str]) -> Text:
    return Text.assemble((f"{_clock(time, day)}  ", "dim"), *parts)


def _clock(time: float, day: str) -> str:
    """Return the time of day in UTC, with the date if it is not `day`."""
    clock = f"{datetime.fromtimestamp(time, UTC).strftime('%H:%M:%S.%f')[:12]}Z"
    return clock if _date(time) == day else f"{_date(time)} {clock}"


def _date(time: float) -> str:
    return datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d")
