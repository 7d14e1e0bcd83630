"""Format the messages of a request or the choices of its answer, with marks at flagged parts and spans."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

from rich.text import Text

from stream.wire import (
    BlobPart,
    Choice,
    Message,
    Part,
    ReasoningPart,
    TextPart,
    ToolCallPart,
    ToolResponsePart,
    UriPart,
    Verdict,
)
from weir.cli.render.output import printable

_FLAGGED = "bold red"
_DIGEST_CHARACTERS = 12

Content = Sequence[Message | Choice]


def content_lines(content: Content, verdicts: Sequence[Verdict]) -> Iterator[Text]:
    """Yield the lines of the messages; mark the spans of flagged `verdicts`, and name the detectors at flagged parts."""
    flagged = [verdict for verdict in verdicts if verdict.flagged]
    marks = _marks(content, flagged)
    for row, message in enumerate(content):
        yield Text(_head(message, row, len(content)), style="dim")
        for column, part in enumerate(message.parts):
            pointer = f"/messages/{row}/parts/{column}"
            names = ", ".join(verdict.detector for verdict in flagged if verdict.part == pointer)
            yield from _part(part, names, marks[pointer])


def _head(message: Message | Choice, row: int, total: int) -> str:
    words = [printable(message.role, kept="")]
    if isinstance(message, Message):
        words += [printable(message.name, kept="")] if message.name else []
    elif total > 1:
        reason = printable(message.finish_reason or "unfinished", kept="")
        words.append(f"choice {row + 1} of {total}, {reason}")
    return " ".join(words)


def _part(part: Part, detectors: str, marks: list[tuple[int, int]]) -> Iterator[Text]:
    label = printable(_label(part), kept="")
    if label or detectors:
        yield Text.assemble(
            "│ ", (label, "dim"), (f"{' ' if label else ''}flagged: {detectors}" if detectors else "", _FLAGGED)
        )
    if not part.text and not isinstance(part, TextPart):
        return
    # Each character is replaced by one, so that the offsets of spans stay valid.
    shown = printable(part.text.replace("\r\n", " \n"))
    text, done = Text(style="italic"), 0
    for start, end in _merged(marks, len(shown)):  # in brackets, because a pipe or a ticket has no colours
        text.append(shown[done:start]).append("⟦").append(shown[start:end], _FLAGGED).append("⟧")
        done = end
    text.append(shown[done:])
    for line in text.split("\n", allow_blank=True):
        yield Text("│ ") + line


def _merged(marks: list[tuple[int, int]], length: int) -> list[tuple[int, int]]:
    """Return `marks` in order, without empty marks and overlaps, which brackets cannot show."""
    found: list[tuple[int, int]] = []
    for start, end in sorted((start, min(end, length)) for start, end in marks):
        if found and start < found[-1][1]:
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        elif start < end:
            found.append((start, end))
    return found


def _label(part: Part) -> str:
    """Return the kind of a part and its properties; "" for text."""
    if isinstance(part, ToolCallPart):
        return " ".join(filter(None, ("tool call", part.name, part.id)))
    if isinstance(part, ToolResponsePart):
        return " ".join(filter(None, ("tool result", part.id)))
    if isinstance(part, ReasoningPart):
        return "reasoning"
    if isinstance(part, UriPart | BlobPart):
        size = f"{part.size:,} bytes" if isinstance(part, BlobPart) else "at a URI"
        digest = f"sha256 {part.digest[:_DIGEST_CHARACTERS]}"
        return ", ".join(filter(None, (part.modality, part.mime_type, size, digest)))
    return ""


def _marks(content: Content, flagged: Sequence[Verdict]) -> dict[str, list[tuple[int, int]]]:
    """Return {pointer of a part: spans in its text}; spans in the joined text are converted."""
    marks: dict[str, list[tuple[int, int]]] = defaultdict(list)
    for verdict in flagged:
        for span in verdict.spans:
            if pointer := span.part or verdict.part:
                marks[pointer].append((span.start, span.end))
                continue
            begin = 0
            for row, message in enumerate(content):
                for column, part in enumerate(message.parts):
                    if isinstance(part, TextPart):
                        end = begin + len(part.content)
                        if span.start < end and span.end > begin:
                            inside = (max(span.start - begin, 0), min(span.end, end) - begin)
                            marks[f"/messages/{row}/parts/{column}"].append(inside)
                        begin = end + 1
    return marks
