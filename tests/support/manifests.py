"""Read Kubernetes manifests, validate them against the schemas, and render them with kustomize."""

import json
import os
import shutil
import subprocess
from functools import cache
from pathlib import Path

import jsonschema
import kubernetes_validate
import pytest
import yaml

from support import gobuilds
from support.programs import ProgramMissing

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "kubernetes"
SCHEMAS = ROOT / "tests" / "contract" / "kubernetes" / "schemas"
KUBERNETES = "1.37"


def documents(text):
    """Return the objects of a file; a List is replaced by the objects in it, as kustomize does."""
    found = [one for one in yaml.load_all(text, Loader=yaml.CSafeLoader) if one is not None]
    return [item for one in found for item in (one["items"] if one.get("kind") == "List" else [one])]


def problems(manifest):
    """Return the errors of an object against the schema of its kind; a kind without a schema is an error too."""
    custom = SCHEMAS / f"{manifest['kind']}.json"
    if custom.exists():
        return [f"{error.json_path}: {error.message[:300]}" for error in _validator(custom).iter_errors(manifest)]
    try:
        kubernetes_validate.validate(manifest, KUBERNETES, strict=True)
    except kubernetes_validate.ValidationError as error:
        return [f"{'.'.join(map(str, error.path))}: {error.message[:300]}"]
    except kubernetes_validate.SchemaNotFoundError:
        return [f"no schema of {manifest['kind']} ({manifest['apiVersion']})"]
    return []


@cache
def _validator(path):
    return jsonschema.Draft202012Validator(json.loads(path.read_text()))


def _command():
    """Return kustomize's command. If it is missing and cannot be built, skip the test; with REQUIRE_KUSTOMIZE (in CI), fail."""
    if shutil.which("kustomize"):
        return ["kustomize", "build"]
    if shutil.which("kubectl"):
        return ["kubectl", "kustomize"]
    try:
        return [str(gobuilds.kustomize()), "build"]
    except ProgramMissing as missing:
        if "REQUIRE_KUSTOMIZE" in os.environ:
            raise
        return pytest.skip(f"overlays are not rendered: neither kustomize nor kubectl is on PATH, and {missing}")


@cache
def _rendered(overlay):
    built = subprocess.run(
        [*_command(), str(FOLDER / "overlays" / overlay)], capture_output=True, check=False, text=True
    )
    assert built.returncode == 0, built.stderr
    return built.stdout


def rendered(overlay):
    """Return the objects of an overlay, as `kubectl apply -k` would send them."""
    return documents(_rendered(overlay))


def pod_specs(manifest):
    """Yield (name, labels, spec) of every pod that an object creates."""
    if manifest["kind"] in {"Deployment", "StatefulSet"}:
        template = manifest["spec"]["template"]
        yield manifest["metadata"]["name"], template["metadata"]["labels"], template["spec"]
    if manifest["kind"] == "RayService":
        cluster = manifest["spec"]["rayClusterConfig"]
        for group in (cluster["headGroupSpec"], *cluster["workerGroupSpecs"]):
            template = group["template"]
            # KubeRay adds this label to workers, and to the head while its proxy answers.
            labels = {**template["metadata"]["labels"], "ray.io/serve": "true"}
            yield group.get("groupName", "head"), labels, template["spec"]
