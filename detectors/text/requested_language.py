"""Test of whether a prompt requests an answer in a given language or a translation."""

import re

from detectors.models.language_model import group_of
from detectors.toml_files import read_toml

__all__ = ["names_language"]

_NAMES = read_toml("detectors.text", "language_names.toml", dict[str, str])
_TRANSLATE = re.compile(
    r"translat|übersetz|tradu[iczs]|перевед|перевод|翻译|翻訳|번역|ترجم|çevir|tłumacz|vertaal|översätt|przetłum|अनुवाद|dịch sang"
)


def names_language(text: str, language: str) -> bool:
    """Return whether a text asks for a translation, or names ``language`` or a language of its group (`group_of`)."""
    lowered = text.lower()
    group = group_of(language)
    names = "|".join(names for code, names in _NAMES.items() if group_of(code) == group)
    return bool(_TRANSLATE.search(lowered)) or bool(names and re.search(names, lowered))
