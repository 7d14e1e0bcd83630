"""Options that several commands share."""

import math
from typing import Any

import click

json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON value.")
json_lines_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON value per line.")
follow_option = click.option(
    "--follow", is_flag=True, help="Wait for new events until Ctrl-C; without --since, print only new events."
)
since_option = click.option(
    "--since", metavar="WHEN", help="Start at a duration before now (30s, 10m, 2h, 1d) or a time (RFC 3339)."
)
reason_option = click.option("--reason", required=True, metavar="TEXT", help="Why; the next person on call reads it.")


class WholeRange(click.IntRange):
    """A range of whole numbers; the error about another text names the range, which click's error does not."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Return the number; raises BadParameter."""
        try:
            int(value)
        except ValueError:
            self.fail(f"{value!r} is not a whole number in the range {self._describe_range()}.", param, ctx)
        number: int = super().convert(value, param, ctx)
        return number


class FiniteRange(click.FloatRange):
    """A range of numbers; `nan` is in no range, although click compares it with the bounds without an error."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Return the number; raises BadParameter."""
        try:
            finite = math.isfinite(float(value))
        except ValueError:
            finite = False
        if not finite:
            self.fail(f"{value!r} is not a number in the range {self._describe_range()}.", param, ctx)
        number: float = super().convert(value, param, ctx)
        return number
