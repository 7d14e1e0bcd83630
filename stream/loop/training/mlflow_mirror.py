"""Copy a version to MLflow: ``python -m stream.loop.training.mlflow_mirror HOME VERSION``; the address is in ``MLFLOW_TRACKING_URI``.

The copy is a run in the experiment ``weir-training``, and a version of the registered model ``TENANT.MODEL`` with the
alias ``challenger``. MLflow receives settings, numbers, digests and the card, never rows. The copy is only a mirror;
the log is authoritative.
"""

import contextlib
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
from mlflow.exceptions import MlflowException, RestException
from mlflow.tracking import MlflowClient

from stream.loop.training.job import TrainingJob, VersionFolder
from stream.loop.training.manifest import VersionManifest, read_version

_EXPERIMENT = "weir-training"
_EXISTS = "RESOURCE_ALREADY_EXISTS"


def mirror(home: Path, version: str) -> dict[str, str]:
    """Copy `version` to MLflow, once; return its MLflow name, number and run.

    Raises MlflowException if the server does not answer or rejects the data.
    """
    client = MlflowClient()
    manifest = read_version(home, version)
    name = registered_name(manifest.job.tenant, manifest.job.model)
    _create_model(client, name)
    number = find_version(client, name, version)
    if number is None:
        run = _run(client, manifest, VersionFolder.of(home, version))
        made = client.create_model_version(
            name, source=run.info.artifact_uri, run_id=run.info.run_id, tags=_tags(manifest)
        )
        number = str(made.version)
    client.set_registered_model_alias(name, "challenger", number)
    return {"name": name, "version": number}


def registered_name(tenant: str, model: str) -> str:
    """Return the name of the registered model, without the characters that MLflow rejects.

    A dot of the tenant becomes ``~``, so that the first dot ends the tenant: ``a.b`` and ``c`` have another name than ``a`` and ``b.c``.
    """
    return f"{tenant.replace('.', '~')}.{model}".replace("/", "_").replace(":", "_")


def find_version(client: Any, name: str, version: str) -> str | None:
    """Return the number of `version` of the registered model `name`, or None; raises MlflowException."""
    known = client.search_model_versions(f"name = '{name}'")
    return next((str(one.version) for one in known if one.tags.get("weir.version") == version), None)


def _create_model(client: Any, name: str) -> None:
    try:
        client.create_registered_model(name)
    except RestException as error:
        if error.error_code != _EXISTS:
            raise


def _run(client: Any, manifest: VersionManifest, folder: VersionFolder) -> Any:
    experiment = client.get_experiment_by_name(_EXPERIMENT)
    identity = experiment.experiment_id if experiment else client.create_experiment(_EXPERIMENT)
    # An earlier process may have been killed before it made the version of this run.
    begun = client.search_runs([identity], f"tags.`weir.version` = '{manifest.version}'", max_results=1)
    run = begun[0] if begun else client.create_run(identity, run_name=manifest.version, tags=_tags(manifest))
    for key, value in _params(manifest.job).items():
        client.log_param(run.info.run_id, key, value)
    for key, number in manifest.numbers.items():
        client.log_metric(run.info.run_id, key, number)
    client.log_text(run.info.run_id, folder.card.read_text(encoding="utf-8"), "card.md")
    client.set_terminated(run.info.run_id)
    return run


def _params(job: TrainingJob) -> dict[str, Any]:
    """Return the fields of `job` without folders of this machine, and without the URL of a storage, which can contain credentials."""
    params: dict[str, Any] = msgspec.to_builtins(job)
    del params["base"], params["dataset"]
    if job.ray is not None:
        del params["ray"]["storage"]
    return params


def _tags(manifest: VersionManifest) -> dict[str, str]:
    return {
        "weir.version": manifest.version,
        "weir.dataset_sha256": manifest.job.dataset_digest,
        "weir.base_sha256": manifest.job.base_digest,
        "weir.adapter_sha256": manifest.adapter_digest,
        "weir.weights_sha256": manifest.weights_digest,
        "weir.retraining_id": manifest.job.retraining_id,
    }


def print_result(work: Callable[[], object]) -> int:
    """Print the result of `work` as JSON and return 0; if MLflow fails, print its error code and return 1."""
    try:
        with contextlib.redirect_stdout(sys.stderr):  # MLflow prints the addresses of its pages
            result = work()
    except MlflowException as error:
        print(f"MLflow: {error.error_code}", file=sys.stderr)  # noqa: T201 - the message of the process
        return 1
    print(json.dumps(result))  # noqa: T201 - the result of the process
    return 0


if __name__ == "__main__":
    sys.exit(print_result(lambda: mirror(Path(sys.argv[1]), sys.argv[2])))
