"""One dead letter as ``weir dlq show`` prints it."""

from stream.count_text import count_text
from weir.client.times import format_time
from weir.dead_letters.letter import DeadLetter, ShownLetter
from weir.dead_letters.shown_headers import Header

_LOST = "the value was too large for the dead-letter topic, and its source has expired"


def letter_lines(shown: ShownLetter) -> list[str]:
    """Return the lines of the metadata and the headers, and of the content if it was read."""
    size = (
        count_text(shown.size_bytes, "byte")
        if shown.value_kept
        else "too large for the dead-letter topic; read from its source"
    )
    facts = {
        "dead letter": f"{shown.offset}, failed at {format_time(shown.time)}",
        "source": f"{shown.topic or '?'}-{shown.partition} offset {shown.source_offset}",
        "stage": f"{shown.stage or '?'}, in {shown.place or '?'}",
        "error": f"{shown.disposition}: {shown.exception}, attempt {shown.attempt}",
        "reason": shown.reason,
        "value": size,
        "request": shown.request_id or "",
        "replayed": _replayed(shown),
    }
    lines = [f"{name:11}  {text}" for name, text in facts.items() if text]
    lines += ["", "headers"]
    lines += [f"  {one.name}: {one.value if one.value is not None else _hidden(one)}" for one in shown.headers]
    if shown.content:
        lines += ["", f"key: {shown.key}", "", shown.text if shown.text is not None else _LOST]
    return lines


def _hidden(header: Header) -> str:
    return f"({count_text(header.size_bytes, 'byte')}, not written by Weir; --text prints it)"


def _replayed(letter: DeadLetter) -> str:
    if letter.replayed_at is None:
        return ""
    return f"{format_time(letter.replayed_at)}, to {letter.topic}-{letter.partition} offset {letter.replayed_to}"
