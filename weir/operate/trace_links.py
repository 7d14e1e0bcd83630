"""Links to traces in MLflow or another trace viewer."""

from weir.errors import StackError
from weir.local.plan import load_plan
from weir.settings import Settings

_TRACE_ID = "{trace_id}"


def trace_page(settings: Settings, address: str, trace_id: str) -> str:
    """Return the URL of a trace: from the setting ``trace.view`` if it is set, else in MLflow at `address`.

    Returns "" if there is no trace id or no viewer. With ``trace.endpoint``, MLflow does not have the traces.
    """
    if settings.trace.view and trace_id:
        return settings.trace.view.replace(_TRACE_ID, trace_id)
    if settings.trace.endpoint or not address or not trace_id:
        return ""
    return f"{address}/#/experiments/0/traces?selectedEvaluationId=tr-{trace_id}"


def trace_template(settings: Settings) -> str:
    """Return the URL of a trace with ``{trace_id}`` as placeholder, or "" if the stack has no trace viewer."""
    try:
        components = load_plan(settings.home).components
    except StackError:
        components = []
    return trace_page(settings, next((one.address for one in components if one.name == "mlflow"), ""), _TRACE_ID)
