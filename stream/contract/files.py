"""The files that ``weir contract --write`` writes; a test compares them with the code."""

import json
from collections.abc import Mapping
from typing import Any

from stream.contract.document import asyncapi_document
from stream.contract.schemas import event_schemas

__all__ = ["contract_files", "printed"]


def contract_files() -> dict[str, str]:
    """Return {path below the contract folder: text of the file}."""
    schemas = {f"schemas/{name}.json": printed(schema) for name, schema in event_schemas().items()}
    return {"asyncapi.json": printed(asyncapi_document())} | schemas


def printed(document: Mapping[str, Any]) -> str:
    """Return `document` as indented JSON with a newline at the end."""
    return json.dumps(document, indent=1, ensure_ascii=False) + "\n"
