"""In-control streams (without a change), for many simulated runs at once."""

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectors.streams.monitor import DAY_SECONDS, Feature

__all__ = [
    "FEATURES",
    "SCORES",
    "STREAMS",
    "ConversationStream",
    "Exchangeable",
    "IdScheme",
    "OpenConversations",
    "SharedId",
    "key_each",
    "no_id",
    "one_id",
    "one_key",
]

Floats = NDArray[np.float64]

#: The features of these runs, as drift has them by default: distance, clusters, two numeric features.
FEATURES: Mapping[str, Feature] = {
    "embedding": Feature(share=0.35, tails=1, warm_up=200),
    "topics": Feature(share=0.35, tails=1, warm_up=200, scores=8, fractions=(0.1, 0.25)),
    "characters": Feature(share=0.15, tails=2, warm_up=200),
    "words": Feature(share=0.15, tails=2, warm_up=200),
}
SCORES = sum(feature.scores for feature in FEATURES.values())


class Arrival(NamedTuple):
    """The time of an event, and its API key and conversation id."""

    time: float
    principal: str = ""
    conversation: str = ""


class Exchangeable:
    """A stream of independent values, for many runs at once; ranks make their distribution irrelevant."""

    def event(self, number: int) -> Arrival:
        """Return the arrival of an event, the same in every run: one a second."""
        return Arrival(float(number))

    def scores(self, rng: np.random.Generator, number: int, runs: NDArray[np.intp]) -> Floats:
        """Return the event's scores in these runs, (len(runs), SCORES): Gaussian; called once an event, in order."""
        del number
        return rng.standard_normal((len(runs), SCORES))


class SharedId(Exchangeable):
    """Independent values of ``keys`` keys in turn, of which the first sends ``ids`` conversation ids in turn."""

    def __init__(self, keys: int, ids: int = 1) -> None:
        self._keys, self._ids = keys, ids

    def event(self, number: int) -> Arrival:
        """Return one event a second."""
        key = number % self._keys
        return Arrival(float(number), str(key), "" if key else str(number // self._keys % self._ids))


#: Number of a conversation → the API key and the conversation id of its events.
IdScheme = Callable[[int], tuple[str, str]]


def one_key(conversation: int) -> tuple[str, str]:
    """Give all conversations one key, and each an id."""
    return "", str(conversation)


def key_each(conversation: int) -> tuple[str, str]:
    """Give each conversation a key and an id."""
    return str(conversation), str(conversation)


def no_id(conversation: int) -> tuple[str, str]:
    """Give no conversation an id."""
    del conversation
    return "", ""


def one_id(conversation: int, keys: int = 1) -> tuple[str, str]:
    """Give all events of one of the keys the same id."""
    key = conversation % keys
    return str(key), str(conversation) if key else "always"


class OpenConversations:
    """Twenty open conversations of ``messages`` messages; each message is of a random one."""

    count = 20

    def __init__(self, rng: np.random.Generator, messages: int) -> None:
        self._rng, self._messages = rng, messages
        self._open = [(number, messages) for number in range(self.count)]
        self.newest = self.count - 1

    def next(self) -> tuple[int, bool]:
        """Return the number of a conversation, and whether this message is its last."""
        index = int(self._rng.integers(self.count))
        conversation, left = self._open[index]
        self._open[index] = (conversation, left - 1)
        if left == 1:
            self.newest += 1
            self._open[index] = (self.newest, self._messages)
        return conversation, left == 1


class ConversationStream(Exchangeable):
    """ConversationStream whose scores share 80 % of their variance."""

    shared = 0.8

    def __init__(self, seed: int, runs: int, messages: int = 5, ids: IdScheme = one_key) -> None:
        self._rng = np.random.default_rng([seed, 1])
        self._open, self._ids, self._runs = OpenConversations(self._rng, messages), ids, runs
        self._effects = {number: self._effect() for number in range(OpenConversations.count)}
        self._current, self._ended = 0, False

    def _effect(self) -> Floats:
        return self._rng.standard_normal((self._runs, SCORES))

    def event(self, number: int) -> Arrival:
        """Return one event a second, of an open conversation."""
        self._current, self._ended = self._open.next()
        if self._ended:
            self._effects[self._open.newest] = self._effect()
        return Arrival(float(number), *self._ids(self._current))

    def scores(self, rng: np.random.Generator, number: int, runs: NDArray[np.intp]) -> Floats:
        """Add the part that the conversation shares to the message's own."""
        own = super().scores(rng, number, runs)
        effect = self._effects.pop(self._current) if self._ended else self._effects[self._current]
        mixed: Floats = math.sqrt(self.shared) * effect[runs] + math.sqrt(1 - self.shared) * own
        return mixed


class DailyCycle(Exchangeable):
    """A daily cycle: every mean swings up and down by one standard deviation a day."""

    def __init__(self, events_a_day: int) -> None:
        self._events_a_day = events_a_day

    def event(self, number: int) -> Arrival:
        """Return events evenly over the day."""
        return Arrival(number * DAY_SECONDS / self._events_a_day)

    def scores(self, rng: np.random.Generator, number: int, runs: NDArray[np.intp]) -> Floats:
        """Shift the scores by the time of day."""
        return super().scores(rng, number, runs) + math.sin(2 * math.pi * number / self._events_a_day)


def _unseeded(stream: Callable[[], Exchangeable]) -> Callable[[int, int], Exchangeable]:
    """Return a factory, of (seed, runs), of a stream that needs neither."""
    return lambda _seed, _runs: stream()


_ANY_HOUR = {"daily": False}

#: Name → factory of the stream, of (seed, runs), and the fields of `Budget` that differ from the default.
STREAMS: Mapping[str, tuple[Callable[[int, int], Exchangeable], Mapping[str, Any]]] = {
    "exchangeable, daily_cycle off": (_unseeded(Exchangeable), _ANY_HOUR),
    "exchangeable": (_unseeded(Exchangeable), {}),
    "conversations of five, daily_cycle off": (ConversationStream, _ANY_HOUR),
    "conversations of five": (ConversationStream, {}),
    "conversations of five, a key each, daily_cycle off": (partial(ConversationStream, ids=key_each), _ANY_HOUR),
    "conversations of ten, a key each, daily_cycle off": (
        partial(ConversationStream, messages=10, ids=key_each),
        _ANY_HOUR,
    ),
    "conversations of twenty, a key each, daily_cycle off": (
        partial(ConversationStream, messages=20, ids=key_each),
        _ANY_HOUR,
    ),
    "conversations of twenty, a key each, daily_cycle off, conversation_turns 20": (
        partial(ConversationStream, messages=20, ids=key_each),
        _ANY_HOUR | {"conversation_turns": 20},
    ),
    "conversations of twenty, daily_cycle off": (partial(ConversationStream, messages=20), _ANY_HOUR),
    "conversations of fifty, daily_cycle off": (partial(ConversationStream, messages=50), _ANY_HOUR),
    "conversations of five, each message counted": (ConversationStream, _ANY_HOUR | {"conversation_events": 0}),
    "one id on all events, independent, daily_cycle off": (_unseeded(partial(SharedId, 1)), _ANY_HOUR),
    "one id on all events of one key in five, independent, daily_cycle off": (
        _unseeded(partial(SharedId, 5)),
        _ANY_HOUR,
    ),
    "three ids in turn on all events, independent, daily_cycle off": (_unseeded(partial(SharedId, 1, 3)), _ANY_HOUR),
    "one id on all conversations of five, daily_cycle off": (partial(ConversationStream, ids=one_id), _ANY_HOUR),
    "one id on all conversations of five of one key in five, daily_cycle off": (
        partial(ConversationStream, ids=partial(one_id, keys=5)),
        _ANY_HOUR,
    ),
    "daily cycle, 10,000 events a day": (_unseeded(partial(DailyCycle, 10_000)), {}),
    "daily cycle, 1,000 events a day": (_unseeded(partial(DailyCycle, 1_000)), {}),
    "daily cycle, 10,000 events a day, daily_cycle off": (_unseeded(partial(DailyCycle, 10_000)), _ANY_HOUR),
}
