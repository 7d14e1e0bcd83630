"""Lists of names and places for training, from Faker's locales (MIT) and from the area codes of phonenumbers (Apache-2.0)."""

import re
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from detectors.train.templates import read_source

#: Country code of China, whose area codes are a sixth of all; each of its towns is listed once.
_CHINA = "86"
#: Letters of a name in Latin script; other scripts are one token per character.
_LATIN = re.compile(r"[A-Za-z\u00c0-\u024f'\u2019.\- ]{2,40}")
_LAST = ("last_names", "last_names_male", "last_names_female", "unisex_last_names", "last_romanized_names")
_FIRST = ("first_names", "first_names_male", "first_names_female", "first_romanized_names")


def _values(kind: str, attributes: tuple[str, ...], locales: tuple[str, ...]) -> set[str]:
    found: set[str] = set()
    for locale in locales:
        provider: Any = import_module(f"faker.providers.{kind}.{locale}").Provider
        for attribute in attributes:
            found |= {value for value in getattr(provider, attribute, ()) if _LATIN.fullmatch(value)}
    return found


@cache
def towns() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the towns of the area codes of North America and of other countries; large towns occur repeatedly."""
    from phonenumbers.geodata import GEOCODE_DATA  # noqa: PLC0415 - takes seconds to import

    near: list[str] = []
    far: list[str] = []
    chinese: set[str] = set()
    for code, names in sorted(GEOCODE_DATA.items()):
        town = re.split(r"[,/(]| - ", names.get("en", ""))[0].strip()
        if _LATIN.fullmatch(town):
            if code.startswith(_CHINA):
                chinese.add(town)
            else:
                (near if code.startswith("1") else far).append(town)
    return tuple(near), (*far, *sorted(chinese))


def known_names() -> dict[str, list[str]]:
    """Return the names of one or two words for `detectors.pii.gazetteer.Gazetteer.of`."""
    words = read_source("pii_words").words
    people = tuple(locale for locale in words["locales"] if find_spec(f"faker.providers.person.{locale}"))
    first = _values("person", _FIRST, people) | set(words["first_names"])
    last = _values("person", _LAST, people)
    english = _values(
        "address", ("countries", "states", "provinces", "territories"), ("en_US", "en_CA", "en_AU", "en_GB")
    )
    countries = import_module("faker.providers.address").Provider.countries
    places = {town for every in towns() for town in every} | english | {*countries, *words["cities"]}
    found = {"first": first, "last": last, "place": places}
    return {kind: sorted(name for name in names if name.count(" ") < 2) for kind, names in found.items()}
