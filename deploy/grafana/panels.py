"""Build Grafana's JSON of a dashboard (schema 41, Grafana 12): queries, panels, rows of panels."""

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

_PROMETHEUS = {"type": "prometheus", "uid": "prometheus"}
#: Grafana replaces this variable with at least four scrape intervals, so that a rate has two points.
RATE = "$__rate_interval"
_WIDTH = 24
_HEIGHT = 8

Json = dict[str, Any]


def query(expression: str, legend: str = "", **more: Any) -> Json:
    """Return a Prometheus query; `legend` is a template of labels, as ``{{status}}``."""
    return {"datasource": _PROMETHEUS, "expr": expression, "legendFormat": legend or "__auto", "range": True} | more


def per_label(function: str, counter: str, *labels: str, where: str = "", legend: str = "") -> Json:
    """Return the sum of `function` (``rate`` or ``increase``) of `counter` by `labels`, whose values are the legend unless it is given.

    `where` selects series, as ``{status="complete"}``.
    """
    by = f" by ({', '.join(labels)}) " if labels else ""
    expression = f"sum{by}({function}({counter}{where}[{RATE}]))"
    return query(expression, legend or " ".join(f"{{{{{label}}}}}" for label in labels))


def quantile(share: float, histogram: str, *labels: str, where: str = "", legend: str = "") -> Json:
    """Return a quantile of `histogram` by `labels`; `where` and `legend` as in :func:`per_label`."""
    buckets = f"sum by ({', '.join(('le', *labels))}) (rate({histogram}_bucket{where}[{RATE}]))"
    legend = legend or " ".join(f"{{{{{label}}}}}" for label in labels)
    return query(f"histogram_quantile({share}, {buckets})", legend)


def _present(expression: str, legend: str) -> Json:
    """Return a query of present values only: for a range, Grafana also shows the last value of a series that ended hours ago."""
    return query(expression, legend, range=False, instant=True)


def _panel(  # noqa: PLR0913 - a panel is what it shows, in which unit, and what that means
    kind: str, title: str, description: str, queries: Sequence[Json], *, unit: str, limit: float | None, options: Json
) -> Json:
    steps: list[Json] = [{"color": "green", "value": None}]
    if limit is not None:
        steps.append({"color": "red", "value": limit})
    defaults: Json = {"unit": unit, "thresholds": {"mode": "absolute", "steps": steps}, "links": []}
    targets = [one | {"refId": chr(ord("A") + place)} for place, one in enumerate(queries)]
    return {
        "type": kind,
        "title": title,
        "description": description,
        "datasource": _PROMETHEUS,
        "targets": targets,
        "fieldConfig": {"defaults": defaults, "overrides": []},
        "options": options,
    }


def timeseries(  # noqa: PLR0913 - see _panel
    title: str,
    description: str,
    *queries: Json,
    unit: str = "short",
    limit: float | None = None,
    stacked: bool = False,
    links: Sequence[Json] = (),
) -> Json:
    """Return lines over time; `limit` is drawn as a line, and `links` are links of each point."""
    options: Json = {
        "legend": {"displayMode": "list", "placement": "bottom"},
        "tooltip": {"mode": "multi", "sort": "desc"},
    }
    panel = _panel("timeseries", title, description, queries, unit=unit, limit=limit, options=options)
    panel["fieldConfig"]["defaults"] |= {
        "custom": {
            "fillOpacity": 20 if stacked else 5,
            "showPoints": "never",
            "stacking": {"mode": "normal" if stacked else "none", "group": "A"},
            "thresholdsStyle": {"mode": "off" if limit is None else "line"},
        },
        "links": list(links),
        "min": 0,
    }
    return panel


def stat(  # noqa: PLR0913 - see _panel
    title: str,
    description: str,
    expression: str,
    *,
    unit: str = "short",
    limit: float | None = None,
    least: float | None = None,
    legend: str = "",
) -> Json:
    """Return the present value of each series as a number, red from `limit` on, or below `least`."""
    options = {"reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}, "colorMode": "value"}
    panel = _panel("stat", title, description, [_present(expression, legend)], unit=unit, limit=limit, options=options)
    if least is not None:
        steps = [{"color": "red", "value": None}, {"color": "green", "value": least}]
        panel["fieldConfig"]["defaults"]["thresholds"]["steps"] = steps
    return panel | {"width": 6, "height": 4}


def bars(title: str, description: str, expression: str, *, unit: str = "short", legend: str = "") -> Json:
    """Return the present value of each series as a bar."""
    options = {
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
        "orientation": "horizontal",
        "displayMode": "basic",
    }
    return _panel(
        "bargauge", title, description, [_present(expression, legend)], unit=unit, limit=None, options=options
    )


def heatmap(title: str, description: str, buckets: str) -> Json:
    """Return a distribution over time from a query of histogram buckets by ``le``."""
    options = {
        "calculate": False,
        "cellGap": 1,
        "yAxis": {"unit": "short"},
        "color": {"mode": "scheme", "scheme": "Blues"},
    }
    one = query(buckets, "{{le}}", format="heatmap")
    return _panel("heatmap", title, description, [one], unit="short", limit=None, options=options)


def trace_link(title: str, service: str, operation: str = "") -> Json:
    """Return a link from a point to the traces of `service`, only those with `operation` if it is given.

    ``${__field.labels.NAME}`` in `operation` is a label of the point.
    """
    named = f'"operation":"{operation}",' if operation else ""
    panes = (
        f'{{"weir":{{"datasource":"jaeger","queries":[{{"refId":"A","queryType":"search","service":"{service}",'
        f'{named}"limit":20}}],"range":{{"from":"${{__from}}","to":"${{__to}}"}}}}}}'
    )
    return {
        "title": title,
        "url": f"/explore?schemaVersion=1&panes={quote(panes, safe='${}._:/,')}",
        "targetBlank": True,
    }


def variable(name: str, source: str) -> Json:
    """Return a variable with the values of a label, initially all; `source` is ``label_values(metric, label)``."""
    return {
        "name": name,
        "type": "query",
        "datasource": _PROMETHEUS,
        "query": {"query": source, "refId": "variable"},
        "definition": source,
        "refresh": 2,
        "includeAll": True,
        "allValue": ".*",
        "multi": True,
        "current": {"text": ["All"], "value": ["$__all"]},
        "sort": 1,
    }


def dashboard(uid: str, title: str, description: str, panels: Sequence[Json], variables: Sequence[Json] = ()) -> Json:
    """Return a dashboard: its panels in rows from left to right, each row as high as its highest panel."""
    return {
        "uid": uid,
        "title": title,
        "description": description,
        "tags": ["weir"],
        "schemaVersion": 41,
        "version": 1,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "browser",
        "templating": {"list": list(variables)},
        "annotations": {"list": []},
        "links": [{"type": "dashboards", "tags": ["weir"], "title": "Weir", "asDropdown": True, "keepTime": True}],
        "panels": _placed(panels),
    }


def _placed(panels: Sequence[Json]) -> list[Json]:
    placed: list[Json] = []
    left = top = row = 0
    for number, panel in enumerate(panels, 1):
        width, height = panel.get("width", _WIDTH // 2), panel.get("height", _HEIGHT)
        if left + width > _WIDTH:
            left, top, row = 0, top + row, 0
        rest = {name: value for name, value in panel.items() if name not in {"width", "height"}}
        placed.append({"id": number, "gridPos": {"x": left, "y": top, "w": width, "h": height}} | rest)
        left, row = left + width, max(row, height)
    return placed
