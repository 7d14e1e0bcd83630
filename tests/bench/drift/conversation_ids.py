"""False alarms and delays of drift on real texts, for several ways to send conversation ids.

The messages of a simulated conversation are texts of one intent (CLINC) or task (T0), so they are similar, as in real
conversations. The change is a switch to five other intents or tasks.
"""

import random
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bench.drift.in_control import IdScheme, OpenConversations, key_each, no_id, one_id, one_key
from bench.drift.rows import AFTER, censored_delay_row, run_length_row
from detectors.base import Observation
from detectors.evaluate.progress import Progress, tracked
from detectors.evaluate.readers import CLINC, read_json, t0_tasks
from detectors.evaluate.studies.alarms import BEFORE, first_alarm
from detectors.evaluate.studies.context import Row, StudyContext
from detectors.models.embedding import Embedder, pack
from detectors.registry import create_stream

LIMIT = 1000
#: Number of texts per intent or task.
TEXTS = 20
#: Number of intents or tasks after the change.
OTHERS = 5
#: Length of streams without a change, in multiples of N.
LONGEST = 4
#: Maximum number of events that the detector gets to complete its reference.
WARM_UP = 4_000


class Text(NamedTuple):
    """The embedding and features of a text."""

    embedding: bytes
    features: dict[str, float]


class Client(NamedTuple):
    """A client: messages per conversation, `IdScheme`, number of API keys; a change affects only the first key."""

    messages: int
    ids: IdScheme
    keys: int = 1


CLIENTS: Mapping[str, Client] = {
    "conversations of five, an id each": Client(5, one_key),
    "conversations of five, a key and an id each": Client(5, key_each),
    "single texts, one id on all": Client(1, one_id),
    "single texts, one id on all of one key in five": Client(1, partial(one_id, keys=5), keys=5),
    "conversations of five, one id on all": Client(5, one_id),
    "conversations of five, one id on all of one key in five": Client(5, partial(one_id, keys=5), keys=5),
    "single texts without ids, one key in five changes": Client(1, no_id, keys=5),
}


def clinc_intents(root: Path) -> Mapping[str, list[str]]:
    """Return CLINC's training texts by intent."""
    groups = defaultdict(list)
    for text, intent in read_json(root / CLINC)["train"]:
        groups[intent].append(text)
    return groups


#: Name of the data → function that reads the texts by intent or task.
SOURCES: Mapping[str, Callable[[Path], Mapping[str, list[str]]]] = {"CLINC": clinc_intents, "T0": t0_tasks}


def _embedded(groups: Mapping[str, Sequence[str]], seed: int, progress: Progress) -> list[list[Text]]:
    """Return `TEXTS` embedded texts of each group (intent or task)."""
    embedder, rng = Embedder(threads=1), random.Random(seed)
    embedder.load()
    found = []
    for _, texts in tracked(progress, "embedding texts", sorted(groups.items())):
        chosen = rng.sample(texts, min(TEXTS, len(texts)))
        found.append(
            [
                Text(pack(vector), {"characters": float(len(text)), "words": float(len(text.split()))})
                for text, vector in zip(chosen, embedder.embed_many(chosen), strict=True)
            ]
        )
    return found


class _Traffic:
    """Simulated messages of conversations, one per second; messages after the change are from `OTHERS` new groups."""

    def __init__(self, groups: Sequence[Sequence[Text]], client: Client, seed: Sequence[int]) -> None:
        self._rng = np.random.default_rng(seed)
        self._open, self._client = OpenConversations(self._rng, client.messages), client
        order = [groups[index] for index in self._rng.permutation(len(groups))]
        self._usual, self._others = order[OTHERS:], order[:OTHERS]
        #: Conversation → the position of its group among the groups, in [0, 1).
        self._positions: dict[int, float] = {}
        self._number = 0

    def next(self, *, changed: bool) -> Observation:
        conversation, ended = self._open.next()
        position = self._positions.setdefault(conversation, self._rng.random())
        if ended:
            del self._positions[conversation]
        groups = self._others if changed and conversation % self._client.keys == 0 else self._usual
        group = groups[int(position * len(groups))]
        text = group[int(self._rng.integers(len(group)))]
        principal, identity = self._client.ids(conversation)
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
    """Alarm budget, number of events after the reference, and how many of these events are before the change.

    If ``change`` is None, there is no change.
    """

    limit: int
    longest: int
    change: int | None = None


def first_alarm_of(groups: Sequence[Sequence[Text]], client: Client, trial: Trial, seed: Sequence[int]) -> int | None:
    """Return the number of events from the end of the reference to the first alarm, or None without an alarm.

    ``groups`` has the texts of each intent or task. ``seed`` is the seed for drawing texts from the groups; its last
    number is also the detector's seed.
    """
    detector = create_stream("drift", {"alarm_every_events": trial.limit, "daily_cycle": False, "seed": seed[-1]})
    traffic = _Traffic(groups, client, seed)
    for _ in range(WARM_UP):
        if detector.update_many([traffic.next(changed=False)]) is not None:
            break
    change = trial.longest if trial.change is None else trial.change
    return first_alarm(detector, (traffic.next(changed=event > change) for event in range(1, trial.longest + 1)))


def conversation_ids(study: StudyContext) -> list[Row]:
    """Return two rows per source and client: the ratio of run length to alarm budget, and the delays after a change."""
    rows: list[Row] = []
    trials = Trial(LIMIT, LONGEST * LIMIT), Trial(LIMIT, BEFORE + AFTER, BEFORE)
    for source, read in SOURCES.items():
        groups = _embedded(read(study.data), study.seed, study.progress)
        for number, (name, client) in enumerate(CLIENTS.items()):
            null, change = (
                [
                    first_alarm_of(groups, client, trial, [study.seed, number, run])
                    for run in tracked(study.progress, f"{source}: {name}", range(study.runs))
                ]
                for trial in trials
            )
            row = run_length_row(f"{source}: {name}, events to a false alarm / N", null, LONGEST * LIMIT)
            rows.append(row | {"run_length": row["run_length"] / LIMIT})
            rows.append(censored_delay_row(f"{source}: {name}, change", change))
    return rows
