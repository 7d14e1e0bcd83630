"""The MLflow server that mirrors versions and their aliases."""

import os

from weir.home.ports import no_proxy
from weir.settings import Settings


def use_mlflow(settings: Settings, ports: dict[str, int]) -> str:
    """Return the address of the MLflow server, or "" without one, and set it for the processes that this process starts."""
    address = settings.mlflow.tracking_uri
    if not address and settings.mlflow.enabled and "mlflow" in ports:
        address = f"http://127.0.0.1:{ports['mlflow']}"
    if address:  # a server that does not answer must not delay training
        os.environ.update(MLFLOW_TRACKING_URI=address, **dict.fromkeys(("NO_PROXY", "no_proxy"), no_proxy(os.environ)))
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    return address
