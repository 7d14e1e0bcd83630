"""Base of the request models: strict types, and errors with field, bound and fix, but without text of the request."""

import json
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, ClassVar, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError, model_validator

from serving.backend import Feature
from serving.decoded_json import half_pair, mapping_of
from serving.openai_api.errors import ApiError, invalid
from stream.count_text import count_text

NAME_CHARACTERS = 256
#: Short words that name something: ids, roles, models.
Name = Annotated[str, Field(max_length=NAME_CHARACTERS)]
ModelT = TypeVar("ModelT", bound="RequestModel")
Penalty = Annotated[float, Field(ge=-2, le=2)]
Stop = Annotated[str, Field(min_length=1, max_length=4096)]
#: The number of a token as a string, because it is a key of a JSON object.
TokenId = Annotated[str, StringConstraints(pattern=r"^[0-9]{1,7}$")]
MAX_TOKENS = 1_048_576
_MAX_STOPS = 4
#: The limit of the field `n`.
MAX_N = 16
_SHOWN_CHARACTERS = 60
_PARAM_CHARACTERS = 200


class RequestModel(BaseModel):
    """A part of a request body, or the whole body.

    An unknown field is an error, so that no client relies on an option that has no effect. The fields in `ignored` are accepted and have no
    effect. The fields in `harmless` are accepted only with the listed values, which have no effect.
    """

    model_config = ConfigDict(strict=True, extra="forbid", allow_inf_nan=False, protected_namespaces=())

    ignored: ClassVar[frozenset[str]] = frozenset()
    harmless: ClassVar[Mapping[str, tuple[Any, ...]]] = {}

    @model_validator(mode="before")
    @classmethod
    def _without_harmless(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        kept = {}
        for name, value in data.items():
            if name in cls.ignored:
                continue
            if name in cls.harmless:
                if not any(value == allowed and type(value) is type(allowed) for allowed in cls.harmless[name]):
                    raise invalid(_unsupported(name, cls.harmless[name]), code="unsupported_parameter", param=name)
                continue
            kept[name] = value
        return kept


def _unsupported(name: str, allowed: tuple[Any, ...]) -> str:
    shown = ", ".join(map(json.dumps, allowed))
    return f"{name} is only supported as {shown}. Leave it out."


class StreamOptions(RequestModel):
    """The field ``stream_options``."""

    ignored = frozenset({"include_obfuscation"})

    include_usage: bool | None = None


class SamplingRequest(RequestModel):
    """The fields that chat and plain completions share."""

    ignored = frozenset(
        {
            "user",
            "service_tier",
            "store",
            "prompt_cache_key",
            "prompt_cache_options",
            "prompt_cache_retention",
            "safety_identifier",
        }
    )

    model: Name
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    max_tokens: Annotated[int, Field(ge=1, le=MAX_TOKENS)] | None = None
    temperature: Annotated[float, Field(ge=0, le=2)] | None = None
    top_p: Annotated[float, Field(gt=0, le=1)] | None = None
    seed: Annotated[int, Field(ge=-(2**63), le=2**63 - 1)] | None = None
    n: Annotated[int, Field(ge=1, le=MAX_N)] | None = None
    stop: Stop | Annotated[list[Stop], Field(fail_fast=True)] | None = None
    logit_bias: Annotated[dict[TokenId, Annotated[float, Field(ge=-100, le=100)]], Field(max_length=1024)] | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    metadata: Annotated[dict[Name, Annotated[str, Field(max_length=512)]], Field(max_length=16)] | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if isinstance(self.stop, list) and len(self.stop) > _MAX_STOPS:
            raise invalid(f"stop has {len(self.stop)} strings, the limit is {_MAX_STOPS}; send fewer.", param="stop")
        if self.stream_options is not None and not self.stream:
            raise invalid(
                "stream_options requires stream: true; set it, or leave stream_options out.", param="stream_options"
            )
        check_metadata(self.metadata)
        return self

    @property
    def conversation(self) -> Name:
        """The conversation id in the metadata, or ""."""
        return (self.metadata or {}).get("conversation_id", "")

    @property
    def include_usage(self) -> bool:
        """Whether the stream ends with a chunk that contains the token usage."""
        return bool(self.stream_options and self.stream_options.include_usage)

    def features(self) -> Iterator[tuple[str, Feature]]:
        """Yield the fields that not every engine supports, each with the feature that the engine needs."""
        if self.logit_bias:
            yield "logit_bias", "logit_bias"

    def body(self) -> dict[str, Any]:
        """Return the request as JSON, without fields that the client did not send or that have no effect."""
        return self.model_dump(exclude_none=True)


def check_metadata(metadata: Any) -> None:
    """Raise ApiError 400 for a value that Weir reads and cannot record: its client may mean an opt-out from training, or a conversation."""
    name = mapping_of(metadata).get("conversation_id")
    if name is not None and not (isinstance(name, str) and len(name) <= NAME_CHARACTERS):
        raise invalid(
            f"metadata.conversation_id must be a string of at most {NAME_CHARACTERS} characters{got(name)}. Send such a string, or leave it out.",
            param="metadata.conversation_id",
        )
    value = mapping_of(metadata).get("training", "true")
    if value not in ("true", "false"):
        raise invalid(
            f'metadata.training must be "true" or "false"{got(value)}. Send "false" to keep this request out of training.',
            param="metadata.training",
        )


def parse(model: type[ModelT], body: bytes) -> ModelT:
    """Parse `body` as an instance of `model`; raises ApiError 400 for invalid JSON, an unknown field, a wrong type or a wrong value."""
    try:
        return model.model_validate_json(body)
    except ValidationError as error:
        raise _explained(error, body) from None


def _explained(error: ValidationError, body: bytes) -> ApiError:
    # Of a union's alternatives, the error of the deepest match is the most precise; of equally deep ones, that of an
    # alternative that accepts the type of the value.
    first = max(
        error.errors(include_url=False, include_context=True),
        key=lambda problem: (len(problem["loc"]), not problem["type"].endswith("_type")),
    )
    kind = first["type"]
    if kind == "json_invalid":
        # The parser's message contains a position but never text of the request.
        reason = half_pair(body) or first.get("ctx", {}).get("error", "it is malformed")
        return invalid(f"The body is not valid JSON: {reason}.", code="invalid_json")
    param = field_path(first["loc"])
    if kind == "extra_forbidden":  # the last part is a field of any name
        param = ".".join(filter(None, (field_path(first["loc"][:-1]), str(first["loc"][-1]))))[:_PARAM_CHARACTERS]
        return invalid(
            f"Unknown parameter {param!r}; remove it, or check its spelling.", code="unknown_parameter", param=param
        )
    if kind.startswith("union_tag_"):
        param = f"{param}.type"
    if kind in {"missing", "union_tag_not_found"}:
        return invalid(f"{param} is missing; send it.", code="missing_required_parameter", param=param)
    if kind == "union_tag_invalid":  # pydantic's message contains the value
        return invalid(f"{param} must be one of {first['ctx']['expected_tags']}; send one of them.", param=param)
    if kind == "value_error":  # of a check in Weir, which names the value and the fix
        return invalid(f"{param or 'The body'}: {first['ctx']['error']}.", param=param or None)
    return invalid(f"{param or 'The body'}{_problem(first)}.", param=param or None)


def _problem(problem: Mapping[str, Any]) -> str:
    """Return the end of an error message: the value's length with its bound and the fix, or pydantic's message."""
    value = problem["input"]
    if problem["type"] in _LENGTHS:
        name, bound, fix = _LENGTHS[problem["type"]]
        return f" has {count_text(len(value), 'item')}, the {bound} is {problem['ctx'][name]}; {fix}"
    return f": {problem['msg'][0].lower()}{problem['msg'][1:]}{got(value)}"


#: The errors of an array or an object with too few or too many items: pydantic's name of the bound, the bound in words, and the fix.
_LENGTHS = {
    "too_short": ("min_length", "minimum", "send more"),
    "too_long": ("max_length", "maximum", "send fewer"),
}


def field_path(location: tuple[int | str, ...]) -> str:
    """Return the path of the wrong field, without the names and tags of types that pydantic adds for a union."""
    parts = [
        str(part)
        for position, part in enumerate(location)
        if not _is_tag(location[:position]) and (isinstance(part, int) or _is_field(part))
    ]
    return ".".join(parts)[:_PARAM_CHARACTERS]


def _is_tag(before: tuple[int | str, ...]) -> bool:
    """Return whether the part of a location behind `before` is the value of ``type`` that chose the type of a field or an item."""
    return before[-1:] in _TAGGED or str(*before[-2:-1]).startswith("list[tagged-union")


def _is_field(part: str) -> bool:
    """Return whether a part of a location is a field and not a class, whose name begins with a capital letter."""
    return part.isidentifier() and not part[0].isupper() and part not in _TYPES


#: Fields with a union whose type is chosen by its field ``type``; the next part of a location is the value of ``type``.
_TAGGED = frozenset({("response_format",)})
_TYPES = frozenset({"str", "int", "float", "bool", "list", "dict", "constrained"})


def got(value: Any) -> str:
    """Return the wrong value if it is a number, else only its JSON type and its length, because the value may be text."""
    if isinstance(value, str):
        return f"; got a string of {count_text(len(value), 'character')}"
    if isinstance(value, list):
        return f"; got an array of {count_text(len(value), 'item')}"
    if isinstance(value, dict):
        return f"; got an object of {count_text(len(value), 'field')}"
    return f"; got {json.dumps(value)}"[:_SHOWN_CHARACTERS]
