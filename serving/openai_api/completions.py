"""``POST /v1/completions``: the request body.

Reference: https://platform.openai.com/docs/api-reference/completions/create
"""

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Self

from pydantic import Field, field_validator, model_validator

from serving.backend import Feature
from serving.openai_api.errors import invalid
from serving.openai_api.request_model import MAX_TOKENS, SamplingRequest

_MAX_LOGPROBS = 5
_Prompt = Annotated[str, Field(min_length=1)]


class CompletionRequest(SamplingRequest):
    """The body of a plain completion."""

    harmless: ClassVar[dict[str, tuple[Any, ...]]] = {"best_of": (None, 1), "suffix": (None,)}

    prompt: _Prompt | list[_Prompt]
    max_tokens: Annotated[int, Field(ge=0, le=MAX_TOKENS)] | None = None
    echo: bool | None = None
    logprobs: Annotated[int, Field(ge=0, le=_MAX_LOGPROBS)] | None = None

    @field_validator("prompt", mode="before")
    @classmethod
    def _is_one_text(cls, prompt: Any) -> Any:
        if isinstance(prompt, list):
            if not all(isinstance(text, str) for text in prompt):
                raise invalid("prompt must be text; a list of token ids is not supported here.", param="prompt")
            if not prompt:
                raise invalid("prompt is an empty array, this engine takes 1 text; send the text.", param="prompt")
            if len(prompt) > 1:
                raise invalid(
                    f"prompt has {len(prompt)} texts, this engine takes 1; send a request for each.", param="prompt"
                )
        return prompt

    @model_validator(mode="after")
    def _has_answer(self) -> Self:
        if self.max_tokens == 0 and not self.echo:
            raise invalid("max_tokens is 0; send at least 1, or echo: true.", param="max_tokens")
        return self

    def features(self) -> Iterator[tuple[str, Feature]]:
        """Yield the fields that not every engine supports, each with the feature that the engine needs."""
        yield from super().features()
        if self.logprobs is not None:
            yield "logprobs", "top_logprobs" if self.logprobs > 1 else "logprobs"
            if self.echo:
                yield "echo", "prompt_logprobs"
