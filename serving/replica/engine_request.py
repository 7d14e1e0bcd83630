"""Convert a request in OpenAI's format to an engine's input: messages for the chat template, and sampling parameters."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import msgspec

from serving.backend import ModelRequest
from serving.engine.chat_template import TOOL_CALL_END
from serving.engine.protocol import Sampling

_DEFAULT_CHAT_TOKENS = 1024
_DEFAULT_COMPLETION_TOKENS = 16
_ANY_OBJECT = {"type": "object"}
#: Fields of a message that chat templates read as they are.
_SHOWN_FIELDS = ("name", "tool_call_id", "reasoning_content")

#: The form of tool calls in the answer. ``none``: it has none. ``tagged``: the model decides, and writes each call between tags.
#: ``named``: the whole answer is the arguments of one function. ``listed``: the whole answer is a JSON list of calls.
ToolCalls = Literal["none", "tagged", "named", "listed"]


class EngineRequest(msgspec.Struct, frozen=True, kw_only=True):
    """An engine's input; exactly one of `messages` and `prompt` is not empty.

    Parameters
    ----------
    messages, tools
        The arguments of :meth:`serving.engine.protocol.Engine.encode_chat`.
    max_tokens
        Maximum number of tokens of the answer; 0 only with `echo`. None: as many as fit into the context, at most `default_max_tokens`.
    choices
        Number of alternative answers.
    sampling
        The sampling parameters of the first choice, except `max_tokens`.
    echo
        Whether the answer begins with the prompt.
    tool_calls, function
        How the answer contains tool calls; `function` is the name of the function for ``named``.
    strict
        The JSON Schemas in `sampling.json_schema` that the client sent with ``strict: true``.
    """

    messages: tuple[dict[str, Any], ...] = ()
    tools: tuple[dict[str, Any], ...] = ()
    prompt: str = ""
    max_tokens: int | None = None
    default_max_tokens: int = _DEFAULT_CHAT_TOKENS
    choices: int = 1
    echo: bool = False
    sampling: Sampling
    tool_calls: ToolCalls = "none"
    function: str = ""
    strict: tuple[Any, ...] = ()

    @property
    def characters(self) -> int:
        """Number of characters of the input, without tools and tool calls."""
        return len(self.prompt) + sum(len(message["content"]) for message in self.messages)

    @property
    def has_tools(self) -> bool:
        """Whether the input has tools or tool calls."""
        return bool(self.tools) or any("tool_calls" in message for message in self.messages)

    def sampling_of(self, choice: int, max_tokens: int) -> Sampling:
        """Return the sampling parameters of one choice; each choice has its own seed."""
        seed = self.sampling.seed
        return msgspec.structs.replace(
            self.sampling, max_tokens=max_tokens, seed=None if seed is None else seed + choice
        )


def engine_request(request: ModelRequest, *, lists_likely: bool = False) -> EngineRequest:
    """Return the engine's input for a chat completion or a plain completion; `lists_likely` is whether the engine has the feature `top_logprobs`."""
    body = request.body
    if request.operation == "chat":
        tools = tuple(body.get("tools") or ())
        tool_calls, function = _tool_calls(body.get("tool_choice"), tools)
        schema = _calls_schema(body, tools, tool_calls, function) or _answer_schema(body.get("response_format"))
        logprobs = (body.get("top_logprobs") or 0) if body.get("logprobs") else None
        sampling = _sampling(body, schema, logprobs)
        if tool_calls == "tagged" and body.get("parallel_tool_calls") is False:
            sampling = msgspec.structs.replace(sampling, stop=(*sampling.stop, TOOL_CALL_END))
        return EngineRequest(
            messages=tuple(map(_message, body["messages"])),
            tools=() if body.get("tool_choice") == "none" else tools,
            max_tokens=body.get("max_completion_tokens") or body.get("max_tokens"),
            choices=body.get("n") or 1,
            sampling=sampling,
            tool_calls=tool_calls,
            function=function,
            strict=tuple(_strict_schemas(body, tools, tool_calls, function)),
        )
    prompt, echo = body["prompt"], bool(body.get("echo"))
    logprobs = body.get("logprobs")
    # lm-eval sends 1 and reads the sampled token, which every engine lists.
    sampling = _sampling(body, "", 0 if logprobs == 1 and not lists_likely else logprobs)
    return EngineRequest(
        prompt=prompt if isinstance(prompt, str) else prompt[0],
        max_tokens=body.get("max_tokens"),
        default_max_tokens=_DEFAULT_COMPLETION_TOKENS,
        choices=body.get("n") or 1,
        echo=echo,
        sampling=msgspec.structs.replace(sampling, prompt_logprobs=echo and sampling.logprobs is not None),
    )


def _sampling(body: Mapping[str, Any], schema: str, logprobs: int | None) -> Sampling:
    stop = body.get("stop") or ()
    temperature, top_p = body.get("temperature"), body.get("top_p")
    return Sampling(
        max_tokens=1,
        temperature=1.0 if temperature is None else temperature,
        top_p=1.0 if top_p is None else top_p,
        seed=body.get("seed"),
        stop=(stop,) if isinstance(stop, str) else tuple(stop),
        frequency_penalty=body.get("frequency_penalty") or 0.0,
        presence_penalty=body.get("presence_penalty") or 0.0,
        logit_bias=tuple((int(token), bias) for token, bias in (body.get("logit_bias") or {}).items()),
        logprobs=logprobs,
        json_schema=schema,
    )


def _message(message: Mapping[str, Any]) -> dict[str, Any]:
    """Return a message as chat templates read it.

    `content` is a string. The arguments of a tool call are an object if their JSON can be parsed.
    """
    content = message.get("content")
    if isinstance(content, list):
        content = "\n".join(part["text"] for part in content if part["type"] == "text")
    role = "system" if message["role"] == "developer" else message["role"]
    shown: dict[str, Any] = {"role": role, "content": content or ""}
    calls = message.get("tool_calls") or ([{"function": call}] if (call := message.get("function_call")) else [])
    if calls:
        shown["tool_calls"] = [{"type": "function", **call, "function": _called(call["function"])} for call in calls]
    return shown | {name: message[name] for name in _SHOWN_FIELDS if message.get(name)}


def _called(function: Mapping[str, Any]) -> dict[str, Any]:
    arguments = function["arguments"]
    try:
        parsed = json.loads(arguments)
        # A template would print NaN, or a lone surrogate.
        json.dumps(parsed, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError):
        parsed = None
    return {"name": function["name"], "arguments": parsed if isinstance(parsed, dict) else arguments}


def _tool_calls(choice: Any, tools: tuple[dict[str, Any], ...]) -> tuple[ToolCalls, str]:
    if isinstance(choice, Mapping):
        return "named", choice["function"]["name"]
    if choice == "required":
        return "listed", ""
    return ("tagged" if tools and choice != "none" else "none"), ""


def _calls_schema(
    body: Mapping[str, Any], tools: tuple[dict[str, Any], ...], tool_calls: ToolCalls, function: str
) -> str:
    """Return the schema of an answer that must consist of tool calls, or "" if it may be text."""
    parameters = {tool["function"]["name"]: tool["function"].get("parameters") or _ANY_OBJECT for tool in tools}
    if tool_calls == "named":
        return json.dumps(parameters[function])
    if tool_calls != "listed":
        return ""
    definitions = {f"call{number}": schema for number, schema in enumerate(parameters.values())}
    calls = [
        {
            "type": "object",
            "properties": {"name": {"const": name}, "arguments": {"$ref": f"#/$defs/{place}"}},
            "required": ["name", "arguments"],
            "additionalProperties": False,
        }
        for name, place in zip(parameters, definitions, strict=True)
    ]
    most = {"maxItems": 1} if body.get("parallel_tool_calls") is False else {}
    moved = {place: _moved(schema, f"#/$defs/{place}") for place, schema in definitions.items()}
    return json.dumps({"type": "array", "minItems": 1, "items": {"anyOf": calls}, "$defs": moved} | most)


def _strict_schemas(
    body: Mapping[str, Any], tools: tuple[dict[str, Any], ...], tool_calls: ToolCalls, function: str
) -> Iterator[Any]:
    if tool_calls in {"named", "listed"}:
        functions = [
            tool["function"] for tool in tools if tool_calls == "listed" or tool["function"]["name"] == function
        ]
        yield from (one.get("parameters") for one in functions if one.get("strict"))
        return
    wanted = (body.get("response_format") or {}).get("json_schema") or {}
    if wanted.get("strict"):
        yield wanted.get("schema")


def _moved(schema: Any, place: str) -> Any:
    """Return a schema whose references to itself are right at `place` of another schema."""
    if isinstance(schema, list):
        return [_moved(item, place) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        name: place + value[1:]
        if name == "$ref" and isinstance(value, str) and (value == "#" or value.startswith("#/"))
        else _moved(value, place)
        for name, value in schema.items()
    }


def _answer_schema(response_format: Any) -> str:
    kind = (response_format or {}).get("type", "text")
    if kind == "text":
        return ""
    schema = response_format["json_schema"].get("schema") if kind == "json_schema" else None
    return json.dumps(schema or _ANY_OBJECT)
