"""The dashboards of deploy/grafana, and the queries of their panels."""

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "deploy" / "grafana" / "dashboards").glob("*.json"))
#: The values of Grafana's variables if everything is selected, with the shortest interval that a rate can have.
CHOICES = {"$__rate_interval": "1m", "$model": ".*", "$tenant": ".*", "$detector": ".*", "$side": ".*"}


def boards() -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in FILES]


def asked(board: dict[str, Any]) -> list[tuple[str, str]]:
    """Return (panel, query) of a dashboard, with the variables replaced."""
    return [
        (f"{board['uid']}: {panel['title']}", _chosen(target["expr"]))
        for panel in board["panels"]
        for target in panel["targets"]
    ]


def choices(board: dict[str, Any]) -> list[str]:
    """Return the series that the queries of a dashboard's variables read."""
    definitions = (one["definition"] for one in board["templating"]["list"])
    return [_chosen(text.removeprefix("label_values(").rpartition(",")[0]) for text in definitions]


def _chosen(expression: str) -> str:
    for name, value in CHOICES.items():
        expression = expression.replace(name, value)
    assert "$" not in expression, f"a variable without a value in CHOICES: {expression}"
    return expression
