"""The local trace view: MLflow in one process on loopback.

``python -m weir.local.mlflow_server DIRECTORY PORT HOURS`` deletes the traces that are older than HOURS.

MLflow's ASGI application needs less memory (235 MB) and time than ``mlflow server``, which imports MLflow twice. Job execution is
off, because it starts ten more processes.
"""

import os
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from threading import Thread

from weir.local import trace_retention


def environment() -> dict[str, str]:
    """Return the environment variables of MLflow; its database and artifacts are in the current folder.

    The paths are relative, because MLflow reads a `?`, a `#` or a `%` in an absolute path as part of a URL.
    """
    from mlflow.server import constants  # noqa: PLC0415 - takes seconds to import

    return {
        constants.BACKEND_STORE_URI_ENV_VAR: "sqlite:///mlflow.db",
        constants.ARTIFACT_ROOT_ENV_VAR: "mlflow-artifacts:/",
        constants.SERVE_ARTIFACTS_ENV_VAR: "true",
        constants.ARTIFACTS_DESTINATION_ENV_VAR: "artifacts",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        # Else MLflow downloads lists of prices from GitHub for each span with a model's name; LiteLLM's list if LiteLLM is installed.
        "MLFLOW_MODEL_CATALOG_URI": "",
        "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    }


def main(argv: list[str]) -> None:
    """Serve MLflow until SIGTERM."""
    folder, port, hours = argv  # another number of arguments is an error: a former version had four
    directory = Path(folder)
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.chdir(directory)
    os.environ.update(environment())
    # The file keeps this mode. Without it, the query of a page delays new spans.
    with closing(sqlite3.connect("mlflow.db")) as database:
        database.execute("PRAGMA journal_mode = WAL")
    import uvicorn  # noqa: PLC0415 - after the environment is set

    retention = (f"http://127.0.0.1:{port}", float(hours))
    Thread(target=trace_retention.run, args=retention, daemon=True).start()
    application = "mlflow.server.fastapi_app:app"
    uvicorn.run(application, host="127.0.0.1", port=int(port), access_log=False, log_level="warning")


if __name__ == "__main__":
    main(sys.argv[1:])
