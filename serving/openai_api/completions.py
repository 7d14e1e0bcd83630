"""``POST /v1/completions``: the request's model, and the answer's shapes."""

from typing import Annotated, Any, ClassVar

from pydantic import Field

from serving.openai_api.request_model import Name, SamplingRequest
from serving.openai_api.responses import Answer, choice, usage_of
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
        """Return what the model is given."""
        prompt = self.prompt if isinstance(self.prompt, str) else self.prompt[0]
        return Generation(
            prompt=prompt, max_tokens=self.max_tokens, default_max_tokens=_DEFAULT_MAX_TOKENS, **self.sampling()
        )

    @property
    def conversation(self) -> Name:
        """The conversation named in the metadata, or ""."""
        return (self.metadata or {}).get("conversation_id", "")


class CompletionAnswer(Answer):
    """The shapes of a plain completion."""

    prefix = "cmpl"
    whole_object = chunk_object = "text_completion"

    def whole(self, text: str, finish_reason: str, prompt_tokens: int, completion_tokens: int) -> dict[str, Any]:
        """Return the body of an answer in one piece."""
        return self.envelope(self.whole_object) | {
            "choices": [choice(finish_reason, text=text)],
            "usage": usage_of(prompt_tokens, completion_tokens),
        }

    def first_chunk(self) -> dict[str, Any] | None:
        """Return nothing: a plain completion begins with its text."""
        return None

    def text_chunk(self, text: str) -> dict[str, Any]:
        """Return a chunk of text."""
        return self.chunk([choice(None, text=text)])

    def finish_chunk(self, finish_reason: str) -> dict[str, Any]:
        """Return the chunk that says why the text ends."""
        return self.chunk([choice(finish_reason, text="")])
