"""Links to traces in MLflow or another trace viewer."""

from weir.errors import StackError
from weir.local.plan import load_plan
from weir.settings import Settings

#: The part of a link that the id of a trace replaces.
PLACEHOLDER = "{trace_id}"


def trace_page(settings: Settings, trace_id: str = PLACEHOLDER) -> str:
    """Return the URL of a trace, by default with a placeholder for its id: from ``trace.view`` if it is set, else in the stack's MLflow.

    Returns "" if there is no trace id or no viewer. With ``trace.endpoint``, MLflow does not have the traces.
    """
    if not trace_id:
        return ""
    if settings.trace.view:
        return settings.trace.view.replace(PLACEHOLDER, trace_id)
    try:
        components = [] if settings.trace.endpoint else load_plan(settings.home).components
    except StackError:
        components = []
    address = next((one.address for one in components if one.name == "mlflow"), "")
    return f"{address}/#/experiments/0/traces?selectedEvaluationId=tr-{trace_id}" if address else ""
