"""Check the arguments of a tool call against the JSON Schema of the tool, with bounded time and memory.

Schema and arguments are from clients and models, so both can be hostile. References are resolved only within the
schema, and patterns run on RE2. Each evaluated keyword, compiled pattern and search uses a part of a fixed budget.
"""

import json
from collections.abc import Callable, Iterator, Mapping
from fractions import Fraction
from functools import partial
from typing import Any, NoReturn

import msgspec

#: Maximum number of characters of arguments that are checked.
MAX_CHARACTERS = 262_144
#: Cost of the checks of an answer together, and of one check of an answer with many calls; a unit is about 6 µs.
#: A keyword costs 1, and 1 per 8 values that it lists and per 64 characters that it reads; a reference costs `_REFERENCE`.
_BUDGET, _LEAST = 50_000, 1_000
_UNIT = 64
_REFERENCE = 40
#: Maximum number of patterns of a check, and of characters of a pattern.
_PATTERNS, _PATTERN_CHARACTERS = 64, 1_000
#: Memory of a compiled pattern, in bytes. A larger pattern is not compiled, so a compilation takes at most 1 ms. re2 caches 128 patterns.
_PROGRAM_BYTES = 131_072
#: To parse a pattern costs 2 per character, to compile it 1 per 16 instructions. If RE2 needs its slowest method, a search
#: takes 3 ns per character and instruction, which costs 1 per 2,000.
_PARSE, _COMPILE, _SEARCH = 2, 16, 2_000
#: To divide decimal numbers takes up to 52 µs.
_DIVISION = 8
#: Keywords whose implementations follow references, or search the schema for an anchor, without a call that could be counted.
_UNCOUNTED = frozenset(
    {"unevaluatedItems", "unevaluatedProperties", "$dynamicRef", "$recursiveRef", "$anchor", "$dynamicAnchor"}
)

Keyword = Callable[[Any, Any, Any, Any], Iterator[Any] | None]


class _Unchecked(Exception):
    pass


class ArgumentsChecker:
    """The validator of JSON Schema draft 2020-12; `jsonschema` is imported when an object is created."""

    def __init__(self) -> None:
        import re2  # noqa: PLC0415 - only this detector needs these libraries
        from jsonschema import Draft202012Validator, validators  # noqa: PLC0415
        from jsonschema.exceptions import ValidationError  # noqa: PLC0415
        from referencing import Registry  # noqa: PLC0415

        options = re2.Options()
        options.log_errors = False
        options.never_capture = True
        options.max_mem = _PROGRAM_BYTES
        self._compile = partial(re2.compile, options=options)
        self._programs: dict[str, Any] = {}
        self._error = ValidationError("")
        self._left = 0
        self._sizes: dict[int, int] = {}
        keywords = Draft202012Validator.VALIDATORS | {
            "pattern": self._pattern,
            "patternProperties": self._pattern_properties,
            "additionalProperties": self._additional_properties,
            "uniqueItems": self._unique_items,
            "multipleOf": self._multiple_of,
            "exclusiveMinimum": self._exclusive_minimum,
            "exclusiveMaximum": self._exclusive_maximum,
        }
        counted = {name: self._counted(name, keyword) for name, keyword in keywords.items()}
        self._validator = validators.extend(Draft202012Validator, counted)
        self._registry: Any = Registry()  # without a way to retrieve a remote schema

    def fits(self, arguments: str, schema: Mapping[str, Any], calls: int = 1) -> bool | None:
        """Return whether `arguments` is a JSON object that fits `schema`, or None if the bounds prevent a decision.

        `calls` is the number of calls of the answer, which share the budget. The result does not depend on earlier checks.
        """
        if len(arguments) > MAX_CHARACTERS:
            return None
        self._left, self._sizes, self._programs = max(_BUDGET // calls, _LEAST), {}, {}
        try:
            value = _decoded(arguments or "{}")
            if not isinstance(value, dict):
                return False
            self._measure(value)
            if _uses(schema, _UNCOUNTED) or _uses(list(schema.values()), frozenset({"$id"})):
                return None
            return bool(self._validator(schema, registry=self._registry).is_valid(value))
        except Exception:  # noqa: BLE001 - an invalid schema makes jsonschema raise any exception
            return None

    def _measure(self, value: Any) -> int:
        """Store the size of each text, list and object in `value`, by id, in characters."""
        if isinstance(value, dict):
            size = sum(self._measure(key) + self._measure(item) for key, item in value.items())
        elif isinstance(value, list):
            size = sum(map(self._measure, value))
        else:
            size = len(value) if isinstance(value, str) else 1
            if not isinstance(value, str):
                return size
        self._sizes[id(value)] = size
        return size

    def _counted(self, name: str, keyword: Keyword) -> Keyword:
        cost = _REFERENCE if name == "$ref" else 1

        def run(validator: Any, value: Any, instance: Any, schema: Any) -> Iterator[Any]:
            listed = len(value) // 8 if isinstance(value, list) else 0
            self._pay(cost + listed + self._sizes.get(id(instance), 0) // _UNIT)
            if instance is None and schema.get("nullable") is True:
                return  # OpenAPI 3.0; clients send what get_json_schema of transformers writes
            yield from keyword(validator, value, instance, schema) or ()

        return run

    def _pay(self, cost: int) -> None:
        self._left -= cost
        if self._left < 0:
            raise _Unchecked

    def _found(self, pattern: str, text: str) -> bool:
        """Return whether `text` contains a match.

        The first search for a pattern also pays for its compilation, even if RE2's cache has the compiled pattern.
        """
        program = self._programs.get(pattern)
        if program is None:
            if len(self._programs) >= _PATTERNS or len(pattern) > _PATTERN_CHARACTERS:
                raise _Unchecked
            self._pay(1 + _PARSE * len(pattern))
            program = self._programs[pattern] = self._compile(pattern)
            self._pay(program.programsize // _COMPILE)
        self._pay(1 + len(text) * program.programsize // _SEARCH)
        return program.search(text) is not None

    def _pattern(self, validator: Any, pattern: Any, instance: Any, _schema: Any) -> Iterator[Any]:
        if validator.is_type(instance, "string") and not self._found(pattern, instance):
            yield self._error

    def _pattern_properties(self, validator: Any, patterns: Any, instance: Any, _schema: Any) -> Iterator[Any]:
        if not validator.is_type(instance, "object"):
            return
        for pattern, schema in patterns.items():
            for key, value in instance.items():
                if self._found(pattern, key):
                    yield from validator.descend(value, schema, path=key, schema_path=pattern)

    def _additional_properties(self, validator: Any, wanted: Any, instance: Any, schema: Any) -> Iterator[Any]:
        if not validator.is_type(instance, "object"):
            return
        known, patterns = schema.get("properties", {}), schema.get("patternProperties", {})
        for key, value in instance.items():
            if key in known or any(self._found(pattern, key) for pattern in patterns):
                continue
            if wanted is False:
                yield self._error
            else:
                yield from validator.descend(value, wanted, path=key)

    def _unique_items(self, validator: Any, wanted: Any, instance: Any, _schema: Any) -> Iterator[Any]:
        if wanted and validator.is_type(instance, "array"):
            distinct = {msgspec.json.encode(item, order="sorted") for item in instance}
            if len(distinct) < len(instance):
                yield self._error

    def _multiple_of(self, validator: Any, factor: Any, instance: Any, _schema: Any) -> Iterator[Any]:
        if not validator.is_type(instance, "number"):
            return
        if isinstance(factor, float) or isinstance(instance, float):
            self._pay(_DIVISION)
            failed = (_exact(instance) / _exact(factor)).denominator != 1
        else:
            failed = instance % factor != 0
        if failed:
            yield self._error

    def _exclusive_minimum(self, validator: Any, wanted: Any, instance: Any, schema: Any) -> Iterator[Any]:
        bound = _bound(wanted, schema, "minimum")
        if bound is not None and validator.is_type(instance, "number") and instance <= bound:
            yield self._error

    def _exclusive_maximum(self, validator: Any, wanted: Any, instance: Any, schema: Any) -> Iterator[Any]:
        bound = _bound(wanted, schema, "maximum")
        if bound is not None and validator.is_type(instance, "number") and instance >= bound:
            yield self._error


def _bound(wanted: Any, schema: Any, inclusive: str) -> Any:
    """Return the exclusive bound, or None if there is none.

    In draft 4 and OpenAPI 3.0, `wanted` is whether the bound of the keyword `inclusive` is exclusive.
    """
    if isinstance(wanted, bool):
        return schema.get(inclusive) if wanted else None
    return wanted


def _exact(number: float) -> Fraction:
    """Return a number with the value of its decimal form: the floats 19.99 and 0.01 have no whole quotient."""
    return Fraction(number if isinstance(number, int) else repr(number))


def _decoded(text: str) -> Any:
    """Return the JSON value, or None if `text` is not JSON; raises ValueError for an integer of more digits than Python reads."""
    try:
        return json.loads(text, parse_constant=_refused)
    except json.JSONDecodeError:
        return None


def _refused(constant: str) -> NoReturn:
    """Raise JSONDecodeError, because NaN, Infinity and -Infinity are not JSON."""
    raise json.JSONDecodeError("not JSON", constant, 0)


def _uses(schema: Any, keywords: frozenset[str]) -> bool:
    """Return whether a key in `schema` is one of `keywords`; also true for a property with such a name."""
    if isinstance(schema, dict):
        return not keywords.isdisjoint(schema) or any(_uses(value, keywords) for value in schema.values())
    return isinstance(schema, list) and any(_uses(value, keywords) for value in schema)
