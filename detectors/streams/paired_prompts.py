"""The ids of Weir's paired prompts: two fixed prompts that differ in one identity term."""

import re
from typing import Literal

import msgspec

_PREFIX = "bias/"
REFERENCE: Literal["reference"] = "reference"
COMPARED: Literal["compared"] = "compared"
_WORD = r"[A-Za-z0-9_-]{1,32}"
_ID = re.compile(
    rf"{_PREFIX}(?P<version>{_WORD})/(?P<group>{_WORD})\.(?P<reference>{_WORD})\.(?P<compared>{_WORD})"
    rf"/(?P<template>{_WORD})/(?P<side>{REFERENCE}|{COMPARED})"
)


class PairedPrompt(msgspec.Struct, frozen=True, kw_only=True):
    """One prompt of a pair; `group` is the identity group of its terms, such as ``religion``."""

    version: str
    group: str
    reference: str
    compared: str
    template: str
    side: str

    @property
    def comparison(self) -> str:
        """The identity group and its two terms: ``GROUP.REFERENCE.COMPARED``."""
        return f"{self.group}.{self.reference}.{self.compared}"

    @property
    def pair(self) -> str:
        """The name of the pair, which is the same for both prompts."""
        return f"{self.comparison}/{self.template}"

    @property
    def id(self) -> str:
        """The conversation id of the prompt: ``bias/VERSION/GROUP.REFERENCE.COMPARED/TEMPLATE/SIDE``."""
        return f"{_PREFIX}{self.version}/{self.pair}/{self.side}"


def is_paired(prompt: str) -> bool:
    """Return whether `prompt` is the id of a paired prompt, of any version."""
    return prompt.startswith(_PREFIX)


def paired_prompt(prompt: str) -> PairedPrompt | None:
    """Return the parts of the id of a paired prompt; None for another prompt."""
    found = _ID.fullmatch(prompt)
    return None if found is None else PairedPrompt(**found.groupdict())
