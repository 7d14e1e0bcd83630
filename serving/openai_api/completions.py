"""``POST /v1/completions``: request model and response formats."""

from typing import Annotated, Any, ClassVar

from pydantic import Field

from serving.openai_api.request_model import SamplingRequest
from serving.openai_api.responses import Answer
from serving.replica.generation import Generation

__all__ = ["CompletionAnswer", "CompletionRequest"]

_DEFAULT_MAX_TOKENS = 16
_Prompt = Annotated[str, Field(min_length=1)]


class CompletionRequest(SamplingRequest):
    """The body of a plain completion."""

    harmless: ClassVar[dict[str, tuple[Any, ...]]] = {
        "n": (None, 1),
        "best_of": (None, 1),
        "echo": (None, False),
        "logprobs": (None,),
        "logit_bias": (None, {}),
        "suffix": (None,),
    }

    prompt: _Prompt | Annotated[list[_Prompt], Field(min_length=1, max_length=1)]

    def generation(self) -> Generation:
        """Return the model's input."""
        prompt = self.prompt if isinstance(self.prompt, str) else self.prompt[0]
        return Generation(
            prompt=prompt, max_tokens=self.max_tokens, default_max_tokens=_DEFAULT_MAX_TOKENS, **self.sampling()
        )


class CompletionAnswer(Answer):
    """Formats the response to a plain completion."""

    prefix = "cmpl"
    whole_object = chunk_object = "text_completion"

    def _content(self, text: str) -> dict[str, Any]:
        return {"text": text}

    def _first(self) -> None:
        return None

    _delta = _content
