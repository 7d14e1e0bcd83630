"""Format an explanation: the text with each word coloured by its weight, and a list of the words with the largest weights.

Without a terminal there is no colour: the words that raise the score most are in brackets.
"""

from collections.abc import Iterator

from rich.text import Text

from stream.score_text import score_text
from stream.wire import WordWeight
from weir.cli.render.output import printable
from weir.quality.explaining import Explanation

_INDENT = "  "
#: Characters of context before and after the words that have weights.
_CONTEXT = 80
_LISTED = 8
_BAR = 20
#: (Minimum share of the largest weight, style of a word that raises the score, style of a word that lowers the score).
_STEPS = ((0.66, "bold white on red3", "bold white on blue3"), (0.33, "black on light_coral", "black on sky_blue2"))
_FAINT = (0.1, "red", "blue")


def explanation_lines(explanation: Explanation, *, colour: bool) -> Iterator[Text]:
    """Yield the lines that show `explanation`, which must have a text.

    Words are marked with colours if `colour` is true, else with brackets.
    """
    assert explanation.text is not None
    head = Text.assemble(
        (f"{explanation.detector} ", "bold red"),
        f"{score_text(explanation.score)}  {explanation.side}  {explanation.event_id}{explanation.part}",
    )
    head.append(f"  version {explanation.version}, {explanation.method}", style="dim")
    yield head
    if explanation.explained_by != explanation.version:
        yield Text(
            f"{_INDENT}explained by the installed version {explanation.explained_by}, whose score is {score_text(explanation.explained_score)}",
            style="yellow",
        )
    yield Text("")
    for line in _marked(explanation, colour=colour).split("\n", allow_blank=True):
        yield Text(f"{_INDENT}│ ") + line
    yield Text("")
    yield from _strongest(explanation)


def _marked(explanation: Explanation, *, colour: bool) -> Text:
    """Return the text from the first to the last word with a weight, and some context; mark the weighted words."""
    text, weights = explanation.text or "", explanation.attributions
    first = max(0, min((one.start for one in weights), default=0) - _CONTEXT)
    last = min(len(text), max((one.end for one in weights), default=_CONTEXT) + _CONTEXT)
    strongest = max((abs(one.weight) for one in weights), default=0.0)
    drawn = Text("… " if first else "")
    position = first
    for one in weights:
        drawn.append(printable(text[position : one.start]))
        drawn.append(*_word(printable(text[one.start : one.end]), one, strongest, colour=colour))
        position = one.end
    drawn.append(printable(text[position:last]))
    drawn.append(" …" if last < len(text) else "")
    return drawn


def _word(word: str, one: WordWeight, strongest: float, *, colour: bool) -> tuple[str, str]:
    share = abs(one.weight) / strongest if strongest else 0.0
    towards = one.weight > 0
    if not colour:
        return (f"[{word}]" if towards and share >= _STEPS[1][0] else word), ""
    for bound, for_it, against in (*_STEPS, _FAINT):
        if share >= bound:
            return word, for_it if towards else against
    return word, ""


def _strongest(explanation: Explanation) -> Iterator[Text]:
    """Yield the words with the largest weights, each with a bar."""
    text = explanation.text or ""
    ordered = sorted(explanation.attributions, key=lambda one: (-abs(one.weight), one.start))[:_LISTED]
    strongest = max((abs(one.weight) for one in ordered), default=0.0)
    for one in ordered:
        length = round(_BAR * abs(one.weight) / strongest) if strongest else 0
        line = Text(f"{_INDENT}{one.weight:+7.2f} ")
        line.append(f"{'█' * length:{_BAR}}", style="red" if one.weight > 0 else "blue")
        line.append(" " + printable(text[one.start : one.end], kept="\t"))
        line.append(f"  {one.start}-{one.end}", style="dim")
        yield line
    yield Text(f"{_INDENT}weights are log-odds of the score: + raises it, - lowers it", style="dim")
