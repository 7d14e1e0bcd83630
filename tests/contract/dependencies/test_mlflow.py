"""Names of MLflow's server that Weir uses and that are not public; read from its source, since importing it takes a minute."""

import re

import pytest
from support.private_names import check_pin, folder_of

FILE = "weir/local/mlflow_server.py"


@pytest.mark.parametrize(
    ("module", "definition"),
    [
        ("server/constants.py", "ARTIFACTS_DESTINATION_ENV_VAR"),
        ("server/constants.py", "ARTIFACT_ROOT_ENV_VAR"),
        ("server/constants.py", "BACKEND_STORE_URI_ENV_VAR"),
        ("server/constants.py", "SERVE_ARTIFACTS_ENV_VAR"),
        ("environment_variables.py", "MLFLOW_DISABLE_TELEMETRY"),
        ("environment_variables.py", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION"),
        ("server/fastapi_app.py", "app"),
    ],
)
def test_mlflow_defines_the_name(module, definition):
    text = (folder_of("mlflow") / module).read_text()
    assert re.search(rf"^{definition} = ", text, re.MULTILINE), f"{module} has no {definition}; look at {FILE}"


def test_the_version_is_pinned():
    check_pin("mlflow")
