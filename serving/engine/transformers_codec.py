"""Encodes prompts and decodes tokens with transformers' tokenizer of a model."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import TemplateError
from transformers import AutoTokenizer

from serving.engine.chat_template import TEMPLATE_REJECTS, features_of
from serving.engine.errors import NO_TEMPLATE, PromptRejectedError
from serving.engine.gguf_file import find_gguf

# The chat template of a model without one: base models continue text, and this template reads like a transcript.
_PLAIN_TEMPLATE = (
    "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)


class TransformersCodec:
    """The tokenizer and the chat template of a model: a directory, or a GGUF file."""

    def __init__(self, model: Path) -> None:
        has_file = (model / "tokenizer.json").is_file()
        source = {"pretrained_model_name_or_path": model} if has_file else source_of(model)
        self.tokenizer: Any = AutoTokenizer.from_pretrained(**source)
        self._template = _template(self.tokenizer) or (_PLAIN_TEMPLATE if has_file else "")
        self.features = features_of(self._template, self.tokenizer.get_vocab())

    def encode(self, text: str) -> list[int]:
        """Return the tokens of a plain prompt, with the special tokens that the tokenizer adds."""
        return list(self.tokenizer(text)["input_ids"])

    def encode_chat(self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] = ()) -> list[int]:
        """Return the tokens of a conversation, with the chat template's prefix of the assistant's answer at the end.

        Raises
        ------
        PromptRejectedError
            The template rejects the conversation; for example, some templates require alternating roles.
        """
        if not self._template:
            raise PromptRejectedError(NO_TEMPLATE)
        try:
            tokens = self.tokenizer.apply_chat_template(
                list(messages),
                tools=list(tools) or None,
                chat_template=self._template,
                add_generation_prompt=True,
                return_dict=True,
            )
        except TemplateError as error:
            raise PromptRejectedError(f"the model's chat template rejects these messages: {error}") from error
        except (TypeError, ValueError, KeyError, AttributeError) as error:  # templates are programs
            raise PromptRejectedError(TEMPLATE_REJECTS) from error
        return list(tokens["input_ids"])

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of `tokens` without special tokens; an incomplete character becomes U+FFFD."""
        # Without the cleaning of spaces, which would change a text while it is streamed.
        return str(self.tokenizer.decode(list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False))


def _template(tokenizer: Any) -> str:
    """Return the chat template; of several named ones, the default. "" if there is none."""
    try:
        return str(tokenizer.get_chat_template())
    except ValueError:
        return ""


def source_of(model: Path) -> dict[str, Any]:
    """Return the arguments with which `from_pretrained` loads `model`."""
    file = find_gguf(model)
    if file is None:
        return {"pretrained_model_name_or_path": model}
    return {"pretrained_model_name_or_path": file.parent, "gguf_file": file.name}
