"""Compile the JSON Schema of an answer to a matcher of one model's tokens, with xgrammar."""

from collections.abc import Collection
from typing import Any

from xgrammar import GrammarCompiler, GrammarMatcher, TokenizerInfo

from serving.engine.errors import SchemaRejectedError
from serving.engine.json_schema import INVALID_SCHEMA, check_limits

_CACHE_BYTES = 64 * 1024**2
# Weak models repeat white space until `max_tokens`; indented JSON seldom has more in one place.
_MOST_WHITE_SPACE = 32


class SchemaGrammars:
    """Compiles schemas for one model; compiled schemas are cached.

    Parameters
    ----------
    tokenizer
        The model's tokenizer, of transformers. Raises ValueError if xgrammar does not know its type.
    vocabulary_size
        Number of logits of the model, which can be larger than the tokenizer's vocabulary.
    ends
        The tokens that end an answer, at least one: a complete answer can only be followed by an end token.
    threads
        Number of CPU threads that compile a schema.
    """

    def __init__(self, tokenizer: Any, vocabulary_size: int, ends: Collection[int], threads: int) -> None:
        vocabulary = TokenizerInfo.from_huggingface(tokenizer, vocab_size=vocabulary_size, stop_token_ids=sorted(ends))
        self._compiler = GrammarCompiler(vocabulary, max_threads=threads, cache_limit_bytes=_CACHE_BYTES)

    def matcher(self, schema: str) -> GrammarMatcher:
        """Return a matcher for one answer that fits `schema`; call this method in a thread, since it can take seconds.

        Raises SchemaRejectedError.
        """
        schema = check_limits(schema)
        try:
            return GrammarMatcher(self._compiler.compile_json_schema(schema, max_whitespace_cnt=_MOST_WHITE_SPACE))
        except RuntimeError as error:
            raise SchemaRejectedError(INVALID_SCHEMA) from error
