"""Move MLflow's alias ``champion``: ``python -m stream.loop.training.mlflow_champions '[["TENANT", "MODEL", "VERSION"]]'``.

The address is in ``MLFLOW_TRACKING_URI``. The version ``base`` has no entry in MLflow, so the alias is removed for ``base``.
"""

import json
import sys
from collections.abc import Iterable

from mlflow.exceptions import RestException
from mlflow.tracking import MlflowClient

from stream.loop.training.mlflow_mirror import find_version, print_result, registered_name

_ALIAS = "champion"
_UNKNOWN = "RESOURCE_DOES_NOT_EXIST"


def set_champions(champions: Iterable[tuple[str, str, str]]) -> list[str]:
    """Set the alias of each (tenant, model, version), and return the versions that MLflow contains.

    A version that MLflow does not contain removes the alias. Raises MlflowException if the server does not answer.
    """
    client = MlflowClient()
    found = []
    for tenant, model, version in champions:
        name = registered_name(tenant, model)
        number = find_version(client, name, version)
        if number is not None:
            client.set_registered_model_alias(name, _ALIAS, number)
            found.append(version)
            continue
        try:
            client.delete_registered_model_alias(name, _ALIAS)
        except RestException as error:
            if error.error_code != _UNKNOWN:
                raise
    return found


if __name__ == "__main__":
    sys.exit(print_result(lambda: set_champions(json.loads(sys.argv[1]))))
