"""Check the JSON Schema of an answer before an engine uses it: OpenVINO's pipeline fails for all its requests if a schema is invalid."""

from serving.engine.errors import SchemaRejectedError

__all__ = ["MAX_SCHEMA_CHARACTERS", "check_schema"]

#: Compiling a schema of this size may stop the engine's other requests for one or two seconds.
MAX_SCHEMA_CHARACTERS = 16_384


def check_schema(schema: str) -> None:
    """Raise SchemaRejectedError unless xgrammar can convert the JSON Schema in `schema` to a grammar.

    The first call takes seconds, because it imports xgrammar and torch; call this function in a thread.
    """
    if len(schema) > MAX_SCHEMA_CHARACTERS:
        raise SchemaRejectedError(
            f"the JSON Schema has {len(schema)} characters, the limit is {MAX_SCHEMA_CHARACTERS}: shorten it"
        )
    import xgrammar  # noqa: PLC0415 - see above

    try:
        xgrammar.Grammar.from_json_schema(schema)
    except RuntimeError as error:
        raise SchemaRejectedError(
            "the JSON Schema is invalid or has a keyword that the engine cannot follow: check types, references and patterns"
        ) from error
