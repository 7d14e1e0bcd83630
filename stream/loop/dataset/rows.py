"""The rows of a dataset, and the digest of their content."""

import hashlib
import json
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import msgspec

from detectors.base import OPERATOR_ROLES

Kind = Literal["sft", "kto"]
Source = Literal["correction", "approved", "thumb", "replay"]
Split = Literal["train", "eval"]


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """One message of a prompt."""

    role: str
    content: str


def asked(prompt: Sequence[Turn]) -> str:
    """Return the messages of a prompt without the operator's, joined by line breaks; all messages if it has no others."""
    others = [turn.content for turn in prompt if turn.role not in OPERATOR_ROLES]
    return "\n".join(others or [turn.content for turn in prompt])


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One example.

    `id` is the request's id, with the suffix ``#lower`` in a copy that augmentation made. `label` is whether the answer
    was wanted (kind ``kto``), or None (``sft``). `conversation` is a hash, `cluster` the number of the cluster of the
    prompt's embedding (-1 without one), and `principal` the id of the API key that reviewed the answer.
    """

    id: str
    kind: Kind = "sft"
    prompt: tuple[Turn, ...]
    completion: str
    label: bool | None
    source: str
    conversation: str = ""
    cluster: int = -1
    principal: str

    @property
    def question(self) -> str:
        """The last message of the prompt."""
        return self.prompt[-1].content if self.prompt else ""

    @property
    def wanted(self) -> bool:
        """Whether the completion is a good answer."""
        return self.label is not False

    def columns(self) -> dict[str, Any]:
        """Return the row as a dictionary of JSON values."""
        columns: dict[str, Any] = msgspec.to_builtins(self)
        return columns


def digest_of(train: Iterable[Row], held_out: Iterable[Row]) -> str:
    """Return the SHA-256 in hex of the rows of both splits; their order does not matter.

    The digest is computed from the sorted lines, each with a line break. A line has the columns of a row and its split,
    as UTF-8 JSON with sorted keys and without spaces.
    """
    splits: tuple[tuple[Split, Iterable[Row]], ...] = (("train", train), ("eval", held_out))
    lines = sorted(
        json.dumps(row.columns() | {"split": split}, sort_keys=True, ensure_ascii=False, separators=(",", ":")).encode()
        for split, rows in splits
        for row in rows
    )
    return hashlib.sha256(b"".join(line + b"\n" for line in lines)).hexdigest()
