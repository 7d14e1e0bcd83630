"""An explanation for a person: the text with each word coloured by what it did to the score, and the words that did most.

Where there is no terminal the words that did most stand in brackets, so that nothing depends on colour.
"""

from collections.abc import Iterator

from rich.text import Text

from weir.quality.explaining import Explanation, Weight

__all__ = ["explanation_lines"]

_INDENT = "  "
#: Characters that are shown around the stretch that was attributed.
_AROUND = 80
_LISTED = 8
_BAR = 20
#: From the share of the strongest weight on: style towards the alert, and against it.
_STEPS = ((0.66, "bold white on red3", "bold white on blue3"), (0.33, "black on light_coral", "black on sky_blue2"))
_FAINT = (0.1, "red", "blue")


def explanation_lines(told: Explanation, *, colour: bool) -> Iterator[Text]:
    """Yield the explanation line by line.

    Parameters
    ----------
    told
        With its text.
    colour
        Whether the words are coloured; else the strongest are put in brackets.
    """
    assert told.text is not None
    head = Text.assemble((f"{told.detector} ", "bold red"), f"{told.score:.2f}  {told.side}  {told.event_id}")
    head.append(f"  version {told.version}, {told.method}", style="dim")
    yield head
    if told.explained_by != told.version:
        yield Text(
            f"{_INDENT}explained by the installed version {told.explained_by}, which scores it {told.explained_score:.2f}",
            style="yellow",
        )
    yield Text("")
    for line in _drawn(told, colour=colour).split("\n", allow_blank=True):
        yield Text(f"{_INDENT}│ ") + line
    yield Text("")
    yield from _listed(told)


def _drawn(told: Explanation, *, colour: bool) -> Text:
    """Return the stretch of the text that was attributed, and a little around it, marked."""
    text, weights = told.text or "", told.attributions
    first = max(0, min((one.start for one in weights), default=0) - _AROUND)
    last = min(len(text), max((one.end for one in weights), default=_AROUND) + _AROUND)
    strongest = max((abs(one.weight) for one in weights), default=0.0)
    drawn = Text("… " if first else "")
    place = first
    for one in weights:
        drawn.append(_printable(text[place : one.start]))
        drawn.append(*_word(_printable(text[one.start : one.end]), one, strongest, colour=colour))
        place = one.end
    drawn.append(_printable(text[place:last]))
    drawn.append(" …" if last < len(text) else "")
    return drawn


def _word(word: str, one: Weight, strongest: float, *, colour: bool) -> tuple[str, str]:
    share = abs(one.weight) / strongest if strongest else 0.0
    towards = one.weight > 0
    if not colour:
        return (f"[{word}]" if towards and share >= _STEPS[1][0] else word), ""
    for bound, for_it, against in (*_STEPS, _FAINT):
        if share >= bound:
            return word, for_it if towards else against
    return word, ""


def _listed(told: Explanation) -> Iterator[Text]:
    """Yield the words that did most, each with a bar."""
    text = told.text or ""
    ordered = sorted(told.attributions, key=lambda one: (-abs(one.weight), one.start))[:_LISTED]
    strongest = max((abs(one.weight) for one in ordered), default=0.0)
    for one in ordered:
        length = round(_BAR * abs(one.weight) / strongest) if strongest else 0
        line = Text(f"{_INDENT}{one.weight:+7.2f} ")
        line.append(f"{'█' * length:{_BAR}}", style="red" if one.weight > 0 else "blue")
        line.append(f" {_printable(text[one.start : one.end], lines=False)}")
        line.append(f"  {one.start}-{one.end}", style="dim")
        yield line
    yield Text(f"{_INDENT}log-odds of the score: + speaks for the alert, - against it", style="dim")


def _printable(text: str, *, lines: bool = True) -> str:
    """Keep a prompt from steering the terminal that it is shown on."""
    kept = "\t\n" if lines else "\t"
    return "".join(char if char.isprintable() or char in kept else "\ufffd" for char in text)
