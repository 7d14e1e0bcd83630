"""False alarms and delays of drift on real texts, by the conversation ids that clients send.

The turns of a conversation are texts of one intent (CLINC) or of one task (T0), so they are alike, as real turns are. The change is a
switch to five other intents or tasks.
"""

import gzip
import json
import random
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from detectors.base import Observation
from detectors.evaluate.drift_delay import AFTER, BEFORE, delay_row, rare_row
from detectors.evaluate.nulls import Client, Turns, key_each, no_id, one_id, one_key
from detectors.registry import create_stream

__all__ = ["CLIENTS", "SOURCES", "Sender", "Text", "Trial", "clients", "first_alarm"]

Row = dict[str, Any]
#: Texts of each intent or task.
TEXTS = 20
#: Intents or tasks after the change.
OTHERS = 5
#: Streams without a change are watched for so many times N.
LONGEST = 4
#: Events after which a stream counts as watched, although the detector is not ready.
WARM_UP = 4_000


class Text(NamedTuple):
    """What the detector sees of a text."""

    embedding: bytes
    features: dict[str, float]


class Sender(NamedTuple):
    """How ids are sent: messages of a conversation, their key and id, and of how many keys one changes."""

    messages: int
    client: Client
    keys: int = 1


CLIENTS: Mapping[str, Sender] = {
    "conversations of five, an id each": Sender(5, one_key),
    "conversations of five, a key and an id each": Sender(5, key_each),
    "single texts, one id on all": Sender(1, one_id),
    "single texts, one id on all of one key in five": Sender(1, partial(one_id, keys=5), keys=5),
    "conversations of five, one id on all": Sender(5, one_id),
    "conversations of five, one id on all of one key in five": Sender(5, partial(one_id, keys=5), keys=5),
    "single texts without ids, one key in five changes": Sender(1, no_id, keys=5),
}


def _clinc(root: Path) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = defaultdict(list)
    for text, intent in json.loads(gzip.decompress((root / "drift/clinc_data_full.json.gz").read_bytes()))["train"]:
        groups[intent].append(text)
    return groups


def _t0(root: Path) -> dict[str, list[str]]:
    groups: dict[str, list[str]] = defaultdict(list)
    with gzip.open(root / "ordinary/t0_tasks_half.jsonl.gz", "rt", encoding="utf-8") as file:
        for row in map(json.loads, file):
            groups[row["template"]].append(row["prompt"])
    return groups


#: By name: texts by intent or task.
SOURCES: Mapping[str, Callable[[Path], dict[str, list[str]]]] = {"CLINC": _clinc, "T0": _t0}


def _embedded(groups: Mapping[str, Sequence[str]], seed: int) -> list[list[Text]]:
    """Return `TEXTS` texts of each group."""
    from detectors.models.embedding import Embedder, pack  # noqa: PLC0415 - torch takes seconds to import

    embedder, rng = Embedder(threads=1), random.Random(seed)  # noqa: S311 - a reproducible sample
    embedder.load()
    return [
        [
            Text(pack(vector), {"characters": float(len(text)), "words": float(len(text.split()))})
            for text, vector in zip(chosen, embedder.embed_many(chosen), strict=True)
        ]
        for chosen in (rng.sample(own, min(TEXTS, len(own))) for _, own in sorted(groups.items()))
    ]


class _Traffic:
    """Messages of conversations, one a second; the change is to `OTHERS` groups that were not there before."""

    def __init__(self, groups: Sequence[Sequence[Text]], sender: Sender, seed: Sequence[int]) -> None:
        self._rng = np.random.default_rng(seed)
        self._turns, self._sender = Turns(self._rng, sender.messages), sender
        order = [groups[place] for place in self._rng.permutation(len(groups))]
        self._usual, self._others = order[OTHERS:], order[:OTHERS]
        self._about: dict[int, float] = {}
        self._number = 0

    def next(self, *, changed: bool) -> Observation:
        """Return the next message."""
        conversation, ended = self._turns.next()
        about = self._about.setdefault(conversation, self._rng.random())
        if ended:
            del self._about[conversation]
        groups = self._others if changed and conversation % self._sender.keys == 0 else self._usual
        group = groups[int(about * len(groups))]
        text = group[int(self._rng.integers(len(group)))]
        principal, identity = self._sender.client(conversation)
        self._number += 1
        return Observation(
            id=str(self._number),
            time=float(self._number),
            features=text.features,
            embedding=text.embedding,
            principal=principal,
            conversation=identity,
        )


class Trial(NamedTuple):
    """N, the events that are watched from when the detector is ready, and how many of them pass before the change, None for no change."""

    limit: int
    longest: int
    change: int | None = None


def first_alarm(groups: Sequence[Sequence[Text]], sender: Sender, trial: Trial, seed: Sequence[int]) -> int | None:
    """Return the events from when the detector is ready until its alarm, None if there is none.

    Parameters
    ----------
    groups
        Texts by intent or task.
    seed
        Draws the texts; its last number breaks ties.
    """
    detector = create_stream("drift", {"alarm_every_events": trial.limit, "daily_cycle": False, "seed": seed[-1]})
    traffic, warm = _Traffic(groups, sender, seed), 0
    while warm < WARM_UP and detector.update_many([traffic.next(changed=False)]) is None:
        warm += 1
    for event in range(1, trial.longest + 1):
        changed = trial.change is not None and event > trial.change
        finding = detector.update_many([traffic.next(changed=changed)])
        if finding is not None and finding.alarm:
            return event
    return None


def clients(root: Path, limit: int, runs: int, seed: int) -> list[Row]:
    """Return two rows for each source and each of `CLIENTS`: events to a false alarm over N, and the delays of a change."""
    rows: list[Row] = []
    trials = Trial(limit, LONGEST * limit), Trial(limit, BEFORE + AFTER, BEFORE)
    for source, read in SOURCES.items():
        groups = _embedded(read(root), seed)
        for number, (name, sender) in enumerate(CLIENTS.items()):
            null, change = (
                [first_alarm(groups, sender, trial, [seed, number, run]) for run in range(runs)] for trial in trials
            )
            row = rare_row(f"{source}: {name}, events to a false alarm / N", null, trials[0].longest)
            rows.append(row | {"run_length": row["run_length"] / limit})
            rows.append(delay_row(f"{source}: {name}, change", change))
    return rows
