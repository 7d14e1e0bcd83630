"""The event contract in words that other languages read: JSON Schemas and an AsyncAPI document, made from ``stream.wire``.

Why this exists: a consumer that is not written in Python has nothing but the topics. What it can rely on is generated from the very
structs that Weir encodes, so that it cannot say something else; ``weir contract --write docs/contract`` writes it, and a test fails where it was not.
"""

from stream.contract.document import asyncapi_document
from stream.contract.files import contract_files
from stream.contract.schemas import event_schema, event_schemas

__all__ = ["asyncapi_document", "contract_files", "event_schema", "event_schemas"]
