"""Checks at import that subclasses of a library's classes still override its methods.

Without the check, nothing would call Weir's override after a library renames the method, and records would be lost.
"""

import inspect
from collections.abc import Callable
from types import FunctionType
from typing import Any, TypeVar

from stream.errors import StreamError

__all__ = ["UpstreamChanged", "overrides", "require_attributes"]

ClassT = TypeVar("ClassT", bound=type)


class UpstreamChanged(StreamError):
    """A library lacks a name that Weir uses, or has this name with another signature."""


def overrides(base: type, *names: str) -> Callable[[ClassT], ClassT]:
    """Return a class decorator which checks that the class overrides the methods `names` of a library's class `base`.

    Raises UpstreamChanged if `base` lacks a listed name, or has the name with other parameters or as another kind of
    function. Also raises UpstreamChanged if the class replaces an unlisted name of `base`: a later version of the library
    may add a name that Weir already uses. Raises TypeError if the class does not define a listed name.
    """

    def check(cls: ClassT) -> ClassT:
        for name in names:
            if name not in vars(cls):
                raise TypeError(f"{cls.__qualname__} lists {name} as an override and does not define it")
            _compare(cls, base, name)
        own = {name for name, value in vars(cls).items() if isinstance(value, FunctionType | property)}
        if unlisted := sorted(name for name in own - {"__init__", *names} if hasattr(base, name)):
            raise UpstreamChanged(
                f"{_qualified(base)} has {', '.join(unlisted)}, which {_qualified(cls)} replaces unlisted; {_REMEDY}"
            )
        return cls

    return check


def require_attributes(owner: object, *names: str) -> None:
    """Raise UpstreamChanged unless `owner` has every attribute of `names`."""
    if missing := [name for name in names if not hasattr(owner, name)]:
        raise UpstreamChanged(f"{_qualified(type(owner))} has no {', '.join(missing)}; {_REMEDY}")


_REMEDY = "install the version that requirements.lock names, or adapt Weir (tests/contract/dependencies)"


def _compare(cls: type, base: type, name: str) -> None:
    ours = vars(cls)[name]
    theirs = inspect.getattr_static(base, name, None)
    if theirs is None:
        raise UpstreamChanged(f"{_qualified(base)} has no {name}, which {_qualified(cls)} overrides; {_REMEDY}")
    if not inspect.isfunction(ours):
        return
    if not inspect.isfunction(theirs) or inspect.iscoroutinefunction(ours) != inspect.iscoroutinefunction(theirs):
        raise UpstreamChanged(
            f"{_qualified(base)}.{name} is another kind of attribute than {_qualified(cls)}'s; {_REMEDY}"
        )
    if not _accepts(_parameters(ours), _parameters(theirs)):
        raise UpstreamChanged(
            f"{_qualified(base)}.{name} has the signature {inspect.signature(theirs)}, {_qualified(cls)}.{name} has "
            f"{inspect.signature(ours)}; {_REMEDY}"
        )


def _parameters(function: Any) -> list[inspect.Parameter]:
    return list(inspect.signature(function).parameters.values())


def _accepts(ours: list[inspect.Parameter], theirs: list[inspect.Parameter]) -> bool:
    """Whether both lists have the same names and kinds of parameters.

    ``*args, **kwargs`` in `ours` match all further parameters in `theirs`.
    """
    variadic = {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}
    named = [parameter for parameter in ours if parameter.kind not in variadic]
    passed_through = variadic <= {parameter.kind for parameter in ours}
    expected = theirs[: len(named)] if passed_through else theirs
    mine = named if passed_through else ours
    return [(one.name, one.kind) for one in mine] == [(one.name, one.kind) for one in expected]


def _qualified(cls: type) -> str:
    return f"{cls.__module__}.{cls.__qualname__}"
