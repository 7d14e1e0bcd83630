"""The tokenizer and chat template of a model directory, without transformers, because its import takes seconds.

As in transformers, the package `tokenizers` reads the file and a Jinja sandbox renders the template; a test compares the tokens.
"""

import datetime as dt
import json
from collections.abc import Container, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from jinja2 import TemplateError
from jinja2.ext import loopcontrols
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import Tokenizer

from serving.engine.errors import ModelInvalidError, PromptRejectedError
from serving.engine.protocol import EngineFeature

__all__ = [
    "REASONING_TAGS",
    "TEMPLATE_REJECTS",
    "TOOL_CALL_TAG",
    "Codec",
    "DirectoryCodec",
    "features_of",
]

# What a model without a template of its own gets: base models continue text, and this reads like a transcript.
_PLAIN_TEMPLATE = (
    "{% for message in messages %}{{ message['role'] }}: {{ message['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}assistant:{% endif %}"
)


TEMPLATE_REJECTS = (
    "the model's chat template rejects these messages: check their roles, their order and their tool calls"
)
#: The tag before a tool call, in the format that :mod:`serving.replica.tool_calls` reads.
TOOL_CALL_TAG = "<tool_call>"


#: The tags around a model's reasoning, which :mod:`serving.replica.reasoning` reads.
REASONING_TAGS = ("<think>", "</think>")


def features_of(template: str, vocabulary: Container[str]) -> frozenset[EngineFeature]:
    """Return the features that a model has because of its chat template and its tokens.

    ``tools``: the template shows tools to the model and asks for calls between tags. ``reasoning``: the template has the closing tag of
    reasoning, or both tags are tokens.
    """
    found: set[EngineFeature] = set()
    if "tools" in template and TOOL_CALL_TAG in template:
        found.add("tools")
    if REASONING_TAGS[1] in template or all(tag in vocabulary for tag in REASONING_TAGS):
        found.add("reasoning")
    return frozenset(found)


class Codec(Protocol):
    """Encodes prompts and decodes tokens."""

    def encode(self, text: str) -> list[int]:
        """Return the tokens of a plain prompt, with the special tokens that the tokenizer adds."""

    def encode_chat(self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] = ()) -> list[int]:
        """Return the tokens of a conversation, with the chat template's prefix of the assistant's answer at the end."""

    @property
    def template(self) -> str:
        """The chat template, or "" if the model has none."""

    @property
    def features(self) -> frozenset[EngineFeature]:
        """See :func:`features_of`."""

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of `tokens` without special tokens; an incomplete character becomes U+FFFD."""


class DirectoryCodec:
    """The codec of a model directory (`tokenizer.json`, `tokenizer_config.json`, `chat_template.jinja`)."""

    def __init__(self, directory: Path) -> None:
        file = directory / "tokenizer.json"
        if not file.is_file():
            raise ModelInvalidError(f"{directory} has no tokenizer.json: save it with a fast tokenizer")
        self._tokenizer = Tokenizer.from_file(str(file))
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        config = _read_json(directory / "tokenizer_config.json")
        self._specials = {key: _content(value) for key, value in config.items() if key.endswith("_token") and value}
        self.template = _template_text(directory, config)
        self._template = _environment().from_string(self.template)
        self.features = features_of(self.template, self._tokenizer.get_vocab())

    def encode(self, text: str) -> list[int]:
        """Return the tokens of a plain prompt, with the special tokens that the tokenizer adds."""
        return list(self._tokenizer.encode(text).ids)

    def encode_chat(self, messages: Sequence[Mapping[str, Any]], tools: Sequence[Mapping[str, Any]] = ()) -> list[int]:
        """Return the tokens of a conversation, with the chat template's prefix of the assistant's answer at the end.

        Raises
        ------
        PromptRejectedError
            The template rejects the conversation; for example, some templates require alternating roles.
        """
        try:
            text = self._template.render(
                messages=list(messages), tools=list(tools) or None, add_generation_prompt=True, **self._specials
            )
            return list(self._tokenizer.encode(text, add_special_tokens=False).ids)
        except TemplateError as error:
            raise PromptRejectedError(f"the model's chat template rejects these messages: {error}") from error
        except (TypeError, ValueError, KeyError, AttributeError) as error:  # templates are programs
            raise PromptRejectedError(TEMPLATE_REJECTS) from error

    def decode(self, tokens: Sequence[int]) -> str:
        """Return the text of `tokens` without special tokens."""
        return str(self._tokenizer.decode(list(tokens), skip_special_tokens=True))


def _template_text(directory: Path, config: Mapping[str, Any]) -> str:
    file = directory / "chat_template.jinja"
    if file.is_file():
        return file.read_text(encoding="utf-8")
    template = config.get("chat_template")
    if isinstance(template, list):  # named templates; the unnamed use is "default"
        template = next((entry["template"] for entry in template if entry.get("name") == "default"), None)
    return template or _PLAIN_TEMPLATE


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols])
    environment.filters["tojson"] = _to_json
    environment.globals["raise_exception"] = _refuse
    environment.globals["strftime_now"] = lambda form: dt.datetime.now(tz=dt.UTC).strftime(form)
    return environment


def _refuse(message: str) -> None:
    raise TemplateError(message)


def _to_json(value: Any, *, indent: int | None = None) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _content(value: Any) -> str:
    return str(value["content"]) if isinstance(value, dict) else str(value)


def _read_json(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
