"""Write the addresses of a stack's metrics to ``prometheus-targets.json`` for Prometheus (``file_sd``)."""

import json
from pathlib import Path

from serving.metrics_targets import MetricsTarget, list_targets
from stream.files import replace_file
from weir.local.plan import Plan


def stack_targets(home: Path, plan: Plan) -> list[MetricsTarget]:
    """Return the metrics addresses of the components, and of the gateways and replicas that registered an address."""
    fixed = [
        MetricsTarget(name=component.name, component=component.name, address=component.metrics, pid=0)
        for component in plan.components
        if component.metrics
    ]
    return fixed + list_targets(home / "run" / "metrics")


def write_prometheus_targets(home: Path, plan: Plan) -> None:
    """Write ``prometheus-targets.json`` if its content changed."""
    groups = [
        {
            "targets": [target.address],
            "labels": {"job": "weir", "component": target.component, "process": target.name},
        }
        for target in stack_targets(home, plan)
    ]
    path, data = home / "prometheus-targets.json", json.dumps(groups, indent=2).encode() + b"\n"
    if not path.exists() or path.read_bytes() != data:
        replace_file(path, data)
