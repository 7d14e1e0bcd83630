"""Streams without a change, for many simulated runs at once: independent events, conversations, daily cycles, clients that send one id."""

import abc
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
    "Arrival",
    "Client",
    "Clustered",
    "Cycle",
    "Exchangeable",
    "Null",
    "OneId",
    "Turns",
    "key_each",
    "no_id",
    "one_id",
    "one_key",
]

Floats = NDArray[np.float64]

#: What is watched in these runs: what drift watches by default (distance, topics, two numeric features).
FEATURES: Mapping[str, Feature] = {
    "embedding": Feature(share=0.35, tails=1, warm_up=200),
    "topics": Feature(share=0.35, tails=1, warm_up=200, scores=8, fractions=(0.1, 0.25)),
    "characters": Feature(share=0.15, tails=2, warm_up=200),
    "words": Feature(share=0.15, tails=2, warm_up=200),
}
SCORES = sum(feature.scores for feature in FEATURES.values())


class Arrival(NamedTuple):
    """When an event is, and the API key and the conversation id that it is sent with."""

    time: float
    principal: str = ""
    conversation: str = ""


class Null(abc.ABC):
    """A stream without a change, for many runs at once."""

    @abc.abstractmethod
    def event(self, number: int) -> Arrival:
        """Return the arrival of an event; the same in every run."""

    @abc.abstractmethod
    def scores(self, rng: np.random.Generator, number: int, runs: NDArray[np.intp]) -> Floats:
        """Return its scores in these runs, (len(runs), SCORES); called once an event, in order."""


class Exchangeable(Null):
    """Independent values; ranks make their distribution irrelevant."""

    def event(self, number: int) -> Arrival:
        """One a second."""
        return Arrival(float(number))

    def scores(self, rng: np.random.Generator, number: int, runs: NDArray[np.intp]) -> Floats:
        """Gaussian."""
        del number
        return rng.standard_normal((len(runs), SCORES))


class OneId(Exchangeable):
    """Independent values of ``keys`` keys in turn, the first of which sends ``ids`` conversation ids in turn, the others none."""

    def __init__(self, keys: int, ids: int = 1) -> None:
        self._keys, self._ids = keys, ids

    def event(self, number: int) -> Arrival:
        """One a second."""
        key = number % self._keys
        return Arrival(float(number), str(key), "" if key else str(number // self._keys % self._ids))


#: API key and conversation id that the events of conversation number n are sent with.
Client = Callable[[int], tuple[str, str]]


def one_key(conversation: int) -> tuple[str, str]:
    """One key sends all conversations."""
    return "", str(conversation)


def key_each(conversation: int) -> tuple[str, str]:
    """Each conversation has a key of its own."""
    return str(conversation), str(conversation)


def no_id(conversation: int) -> tuple[str, str]:
    """Nothing has an id."""
    del conversation
    return "", ""


def one_id(conversation: int, keys: int = 1) -> tuple[str, str]:
    """One of the keys sends one id on all of its events."""
    key = conversation % keys
    return str(key), str(conversation) if key else "always"


class Turns:
    """Which conversation the next message is of: twenty are open at a time, and each has so many messages."""

    open_at_once = 20

    def __init__(self, rng: np.random.Generator, messages: int) -> None:
        self._rng, self._messages = rng, messages
        self._open = [(number, messages) for number in range(self.open_at_once)]
        self.newest = self.open_at_once - 1

    def next(self) -> tuple[int, bool]:
        """Return the number of an open conversation, and whether this message is its last and makes room for a new one."""
        place = int(self._rng.integers(self.open_at_once))
        conversation, left = self._open[place]
        self._open[place] = (conversation, left - 1)
        if left == 1:
            self.newest += 1
            self._open[place] = (self.newest, self._messages)
        return conversation, left == 1


class Clustered(Exchangeable):
    """Conversations whose scores share 80 % of their variance."""

    shared = 0.8

    def __init__(self, seed: int, runs: int, messages: int = 5, client: Client = one_key) -> None:
        self._rng = np.random.default_rng([seed, 1])
        self._turns, self._client, self._runs = Turns(self._rng, messages), client, runs
        self._effects = {number: self._effect() for number in range(Turns.open_at_once)}
        self._now, self._ended = 0, False

    def _effect(self) -> Floats:
        return self._rng.standard_normal((self._runs, SCORES))

    def event(self, number: int) -> Arrival:
        """One a second, of a conversation that is open."""
        self._now, self._ended = self._turns.next()
        if self._ended:
            self._effects[self._turns.newest] = self._effect()
        return Arrival(float(number), *self._client(self._now))

    def scores(self, rng: np.random.Generator, number: int, runs: NDArray[np.intp]) -> Floats:
        """Add the conversation's share to the message's own."""
        own = super().scores(rng, number, runs)
        effect = self._effects.pop(self._now) if self._ended else self._effects[self._now]
        mixed: Floats = math.sqrt(self.shared) * effect[runs] + math.sqrt(1 - self.shared) * own
        return mixed


class Cycle(Exchangeable):
    """A daily cycle: every mean swings by one standard deviation up and down, over so many events a day."""

    def __init__(self, events_a_day: int, swing: float = 1.0) -> None:
        self._events_a_day, self._swing = events_a_day, swing

    def event(self, number: int) -> Arrival:
        """Evenly over the day."""
        return Arrival(number * DAY_SECONDS / self._events_a_day)

    def scores(self, rng: np.random.Generator, number: int, runs: NDArray[np.intp]) -> Floats:
        """Shift by the time of the day."""
        return super().scores(rng, number, runs) + self._swing * math.sin(2 * math.pi * number / self._events_a_day)


def _fixed(stream: Callable[[], Null]) -> Callable[[int, int], Null]:
    """Return what makes a stream that needs no seed."""
    return lambda _seed, _runs: stream()


_ANY_HOUR = {"daily": False}

#: By name: the stream, for a seed and so many runs, and the fields of `Budget` that are not by default.
STREAMS: Mapping[str, tuple[Callable[[int, int], Null], Mapping[str, Any]]] = {
    "exchangeable, daily_cycle off": (_fixed(Exchangeable), _ANY_HOUR),
    "exchangeable": (_fixed(Exchangeable), {}),
    "conversations of five, daily_cycle off": (Clustered, _ANY_HOUR),
    "conversations of five": (Clustered, {}),
    "conversations of five, a key each, daily_cycle off": (partial(Clustered, client=key_each), _ANY_HOUR),
    "conversations of ten, a key each, daily_cycle off": (partial(Clustered, messages=10, client=key_each), _ANY_HOUR),
    "conversations of twenty, a key each, daily_cycle off": (
        partial(Clustered, messages=20, client=key_each),
        _ANY_HOUR,
    ),
    "conversations of twenty, a key each, daily_cycle off, conversation_turns 20": (
        partial(Clustered, messages=20, client=key_each),
        _ANY_HOUR | {"conversation_turns": 20},
    ),
    "conversations of twenty, daily_cycle off": (partial(Clustered, messages=20), _ANY_HOUR),
    "conversations of fifty, daily_cycle off": (partial(Clustered, messages=50), _ANY_HOUR),
    "conversations of five, each message counted": (Clustered, _ANY_HOUR | {"conversation_events": 0}),
    "one id on all events, independent, daily_cycle off": (_fixed(partial(OneId, 1)), _ANY_HOUR),
    "one id on all events of one key in five, independent, daily_cycle off": (_fixed(partial(OneId, 5)), _ANY_HOUR),
    "three ids in turn on all events, independent, daily_cycle off": (_fixed(partial(OneId, 1, 3)), _ANY_HOUR),
    "one id on all conversations of five, daily_cycle off": (partial(Clustered, client=one_id), _ANY_HOUR),
    "one id on all conversations of five of one key in five, daily_cycle off": (
        partial(Clustered, client=partial(one_id, keys=5)),
        _ANY_HOUR,
    ),
    "daily cycle, 10,000 events a day": (_fixed(partial(Cycle, 10_000)), {}),
    "daily cycle, 1,000 events a day": (_fixed(partial(Cycle, 1_000)), {}),
    "daily cycle, 10,000 events a day, daily_cycle off": (_fixed(partial(Cycle, 10_000)), _ANY_HOUR),
}
