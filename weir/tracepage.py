"""Where a trace can be looked at: a page of the local MLflow."""

from weir.settings import Settings

__all__ = ["trace_page"]


def trace_page(settings: Settings, address: str, trace_id: str) -> str:
    """Return the page of trace `trace_id` at the MLflow that serves at `address`, "" where either is empty."""
    if not address or not trace_id:
        return ""
    return f"{address}/#/experiments/{settings.mlflow.experiment}/traces?selectedEvaluationId=tr-{trace_id}"
