"""The event contract for any language: JSON Schemas and AsyncAPI, generated from ``stream.wire``.

``weir contract --write docs/contract`` writes these files; a test fails if they differ from the structs.
"""

from stream.contract.document import asyncapi_document, contract_files
from stream.contract.schemas import event_schema, event_schemas

__all__ = ["asyncapi_document", "contract_files", "event_schema", "event_schemas"]
