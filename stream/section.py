"""The base of all sections of settings."""

from collections.abc import Callable, Iterator, Mapping
from fnmatch import fnmatchcase
from functools import lru_cache, reduce
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator

#: The characters that make a name a pattern of `fnmatch`.
_WILDCARDS = frozenset("*?[")
#: With more active tenants, a process computes settings again for some events or requests.
_CACHED_TENANTS = 100_000
SectionT = TypeVar("SectionT", bound="Section")


class Section(BaseModel):
    """A section of settings: immutable; an unknown key is an error, as is true, false or an infinite value in the place of a number."""

    # Infinite numbers have no form in JSON: the ledger could not read its heartbeat with silence_seconds = inf.
    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=(), allow_inf_nan=False)

    @field_validator("*", mode="before")
    @classmethod
    def _no_boolean_number(cls, value: Any, info: ValidationInfo) -> Any:
        """Raise ValueError for a boolean, which pydantic would read as the number 0 or 1; it must still read numbers in variables."""
        types = set(_types(cls.model_fields[str(info.field_name)].annotation))
        if not types.isdisjoint({int, float}) and bool not in types:
            for found in _booleans(value):
                raise ValueError(f"{str(found).lower()} is not a number")
        return value


def check_order(section: Section, lower: str, upper: str) -> None:
    """Raise ValueError if the value of the key `lower` is more than that of the key `upper`."""
    low, high = getattr(section, lower), getattr(section, upper)
    if low > high:
        raise ValueError(f"{lower} is {low}, and {upper} is {high}; set {lower} to at most {upper}")


def overlaid(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` overridden by `over`; nested tables are merged."""
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        merged[key] = overlaid(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return merged


class TenantTables:
    """The tables of settings by name or pattern of a tenant, in the order of the file.

    A table with a plain name costs nothing for other tenants, so a check of thousands of such tables takes linear time.
    """

    def __init__(self, tenants: Mapping[str, Mapping[str, Any]]) -> None:
        self._tenants = tenants
        self._order = {pattern: number for number, pattern in enumerate(tenants)}
        self._patterns = [pattern for pattern in tenants if not _WILDCARDS.isdisjoint(pattern)]

    def of(self, tenant: str) -> dict[str, Any]:
        """Return the tables whose name or pattern matches `tenant`, each overridden by the next."""
        matching = {pattern for pattern in self._patterns if fnmatchcase(tenant, pattern)}
        if tenant in self._order:
            matching.add(tenant)
        return reduce(overlaid, (self._tenants[name] for name in sorted(matching, key=self._order.__getitem__)), {})


def by_tenant(
    section: type[SectionT], tenants: Mapping[str, Mapping[str, Any]], name: str = ""
) -> Callable[[str], SectionT]:
    """Return a function from a tenant to its `section`, the table `name` of its tables, or all of them; each result is computed once."""
    tables = TenantTables(tenants)

    @lru_cache(maxsize=_CACHED_TENANTS)
    def settings(tenant: str) -> SectionT:
        values = tables.of(tenant)
        return section.model_validate(values.get(name, {}) if name else values)

    return settings


def _types(annotation: Any) -> Iterator[Any]:
    parts = get_args(annotation)
    if not parts:
        yield annotation
    for part in parts:
        yield from _types(part)


def _booleans(value: Any) -> Iterator[bool]:
    if isinstance(value, bool):
        yield value
    elif isinstance(value, list | tuple | Mapping):
        for part in value.values() if isinstance(value, Mapping) else value:
            yield from _booleans(part)
