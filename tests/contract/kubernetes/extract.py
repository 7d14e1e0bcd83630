"""Regenerate the schemas of custom resources: ``python tests/contract/kubernetes/extract.py CRD.yaml…``.

For each CustomResourceDefinition, write the ``openAPIV3Schema`` of the stored version without its descriptions. Unknown fields become
errors, except in objects that declare that they preserve unknown fields: Kubernetes would drop unknown fields without a message.
"""

import json
import sys
from pathlib import Path

import yaml

FOLDER = Path(__file__).parent / "schemas"
_PROSE = {"description", "example", "x-kubernetes-validations"}


def closed(node, *, keys_are_names=False):
    """Return `node` without descriptions, with objects that permit no unknown fields. The keys of ``properties`` are names of fields."""
    if isinstance(node, list):
        return [closed(one) for one in node]
    if not isinstance(node, dict):
        return node
    kept = {
        key: closed(value, keys_are_names=key == "properties" and not keys_are_names)
        for key, value in node.items()
        if keys_are_names or key not in _PROSE
    }
    if keys_are_names:
        return kept
    if kept.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    keeps = kept.get("x-kubernetes-preserve-unknown-fields") or "additionalProperties" in kept
    if "properties" in kept and not keeps:
        kept["additionalProperties"] = False
    return kept


def main(paths):
    """Write one file for each kind."""
    for path in paths:
        crd = yaml.safe_load(Path(path).read_text(encoding="utf-8"))["spec"]
        version = next(one for one in crd["versions"] if one["storage"])
        schema = closed(version["schema"]["openAPIV3Schema"])
        schema["properties"] |= {
            "apiVersion": {"const": f"{crd['group']}/{version['name']}"},
            "metadata": {"type": "object"},
        }
        (FOLDER / f"{crd['names']['kind']}.json").write_text(json.dumps(schema, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
