"""Tools detector: calls of tools that the request did not declare, arguments that do not fit, and repeated calls.

It scores one tool call at a time. The text that it scores is a `ToolCall` in JSON. A call in an answer has the
declaration of its tool; a call in a request's history has the number of consecutive equal calls.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Annotated, Any, ClassVar

import msgspec
from msgspec import Meta

from detectors.base import ERROR, OK, AlertText, Reads, Score, TextDetector
from detectors.errors import NotLoadedError
from detectors.text.tool_arguments import ArgumentsChecker

_UNDECLARED, _ARGUMENTS, _LOOP = "undeclared", "arguments", "loop"
_ARGUMENTS_SCORE = 0.9


class ToolCall(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One call of a tool.

    `declared` is whether the request declared the tool, or None if that is unknown. `parameters` is the JSON Schema of the
    arguments, or None if any arguments are allowed. `calls` is the number of calls that the answer's check reads; they share
    its time. `times` is the number of consecutive calls that are the same.
    """

    name: str
    arguments: str = ""
    declared: bool | None = True
    parameters: dict[str, Any] | None = None
    calls: Annotated[int, Meta(ge=1)] = 1
    times: Annotated[int, Meta(ge=1)] = 1

    @property
    def text(self) -> str:
        """The text that the detector scores."""
        return msgspec.json.encode(self).decode()


class MadeCall(msgspec.Struct):
    """A call in the history of a conversation; `result` is None if the call has no result."""

    name: str
    arguments: str
    result: str | None = None


def repetitions(calls: Iterable[MadeCall]) -> list[int]:
    """Return for each call the number of equal consecutive calls that end with it.

    Calls are equal if their names, arguments and results are equal. Arguments are compared as JSON values. A call
    without a result is equal to a call with any result.
    """
    found: list[int] = []
    previous, result = None, None
    for call in calls:
        identity = (call.name, _canonical(call.arguments))
        same = identity == previous and (call.result is None or result is None or call.result == result)
        found.append(found[-1] + 1 if same else 1)
        result = call.result if call.result is not None or not same else result
        previous = identity
    return found


def _canonical(arguments: str) -> str:
    try:
        return json.dumps(json.loads(arguments), sort_keys=True)
    except (ValueError, RecursionError):
        return arguments


class ToolsConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the tools detector.

    Attributes
    ----------
    loop_calls
        Number of consecutive equal calls in a request's history that are a loop.
    check_arguments
        Whether arguments are compared with the declared JSON Schema.
    """

    loop_calls: Annotated[int, Meta(ge=2, le=64)] = 4
    check_arguments: bool = True


class ToolsDetector(TextDetector[ToolsConfig]):
    """Detector of wrong tool calls; no model.

    Notes
    -----
    A call takes about 50 µs, at most about .5 s. The 64 calls of an answer take at most about 1 s together. A text that
    is not a `ToolCall` scores 0.
    """

    name: ClassVar[str] = "tools"
    version: ClassVar[str] = "3"
    config_type: ClassVar[type[msgspec.Struct]] = ToolsConfig
    reads: ClassVar[Reads] = Reads.CALLS
    alert: ClassVar[AlertText] = AlertText(
        subject="wrong tool calls",
        runbook="`undeclared`, `arguments`: check the tool definitions and the model (`weir show ID --text`); `loop`: stop the agent "
        "and check the tool's result.",
    )
    _checker: ArgumentsChecker | None = None

    def load(self) -> None:
        """Import the validator; see `TextDetector.load`."""
        self._checker = self._checker or ArgumentsChecker()

    def score_many(self, texts: Sequence[str]) -> list[Score]:
        """Score each call; see `TextDetector.score_many`."""
        if self._checker is None:
            raise NotLoadedError("tools.score_many before load(): call load() once in the process that scores")
        return [self._score(text, self._checker) for text in texts]

    def _score(self, text: str, checker: ArgumentsChecker) -> Score:
        try:
            call = msgspec.json.decode(text, type=ToolCall)
        except RecursionError:  # the schema is too deep
            return Score(score=0.0, label=ERROR, flagged=False, covered=0.0)
        except (msgspec.DecodeError, UnicodeEncodeError):
            return Score(score=0.0, label=OK, flagged=False)
        if call.declared is False:
            return Score(score=1.0, label=_UNDECLARED, flagged=True)
        checked = self.config.check_arguments and call.parameters is not None
        fits = checker.fits(call.arguments, call.parameters or {}, call.calls) if checked else True
        if fits is False:
            return Score(score=_ARGUMENTS_SCORE, label=_ARGUMENTS, flagged=True)
        loop = min(1.0, call.times / (2 * self.config.loop_calls)) if call.times > 1 else 0.0
        if call.times >= self.config.loop_calls:
            return Score(score=loop, label=_LOOP, flagged=True)
        known = call.declared is not None and fits is not None
        return Score(score=loop, label=OK if known else ERROR, flagged=False, covered=1.0 if known else 0.0)
