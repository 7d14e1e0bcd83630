"""The dashboards of deploy/grafana as they lie there, and what each panel asks."""

import json
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
FILES = sorted((ROOT / "deploy" / "grafana" / "dashboards").glob("*.json"))
#: What Grafana puts in place of these, with everything chosen and the shortest interval that a rate can have.
CHOICES = {"$__rate_interval": "1m", "$model": ".*", "$tenant": ".*", "$detector": ".*", "$side": ".*"}


def boards() -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in FILES]


def asked(board: dict[str, Any]) -> list[tuple[str, str]]:
    """Return (panel, query) of a dashboard, variables replaced."""
    found = []
    for panel in board["panels"]:
        for target in panel["targets"]:
            expression = target["expr"]
            for name, value in CHOICES.items():
                expression = expression.replace(name, value)
            assert "$" not in expression, (
                f"{board['uid']}, {panel['title']}: a variable that has no value: {expression}"
            )
            found.append((f"{board['uid']}: {panel['title']}", expression))
    return found


def choices(board: dict[str, Any]) -> list[str]:
    """Return the queries behind a dashboard's variables, as the series that they look in."""
    return [one["definition"].removeprefix("label_values(").rpartition(",")[0] for one in board["templating"]["list"]]
