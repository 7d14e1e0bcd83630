"""Simulated streams without a change (in-control streams), for many runs at once."""

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from detectors.streams.monitor import DAY_SECONDS, Feature

Floats = NDArray[np.float64]

#: The features of the drift detector with default settings: distance, clusters and two numeric features. The witness score is
#: left out, because its ranks are not independent.
FEATURES: Mapping[str, Feature] = {
    "embedding": Feature(share=0.35, tails=1, warm_up=200),
    "topics": Feature(share=0.35, tails=1, warm_up=200, scores=8, fractions=(0.1, 0.25)),
    "characters": Feature(share=0.15, tails=2, warm_up=200),
    "words": Feature(share=0.15, tails=2, warm_up=200),
}
SCORES = sum(feature.scores for feature in FEATURES.values())


class Arrival(NamedTuple):
    """The time, API key and conversation id of an event."""

    time: float
    principal: str = ""
    conversation: str = ""


class Exchangeable:
    """A stream of independent Gaussian values; the test uses only ranks, so the distribution has no influence."""

    def event(self, number: int) -> Arrival:
        """Return the arrival of an event, which is the same in every run; there is one event per second."""
        return Arrival(float(number))

    def scores(self, rng: np.random.Generator, number: int, runs: NDArray[np.intp]) -> Floats:
        """Return an event's scores in the given runs, (runs, `SCORES`); call this method once per event, in order."""
        del number
        return rng.standard_normal((len(runs), SCORES))


class SharedId(Exchangeable):
    """A stream in which ``keys`` API keys alternate; only the first key sends ids (``ids`` ids in turn)."""

    def __init__(self, keys: int, ids: int = 1) -> None:
        self._keys, self._ids = keys, ids

    def event(self, number: int) -> Arrival:
        """Return the arrival of an event; there is one event per second."""
        key = number % self._keys
        return Arrival(float(number), str(key), "" if key else str(number // self._keys % self._ids))


#: Function from the number of a conversation to its (API key, conversation id).
IdScheme = Callable[[int], tuple[str, str]]


def one_key(conversation: int) -> tuple[str, str]:
    """Return the same key for all conversations, and a separate id for each."""
    return "", str(conversation)


def key_each(conversation: int) -> tuple[str, str]:
    """Return a separate key and id for each conversation."""
    return str(conversation), str(conversation)


def no_id(conversation: int) -> tuple[str, str]:
    """Return the same key and no id for all conversations."""
    del conversation
    return "", ""


def one_id(conversation: int, keys: int = 1) -> tuple[str, str]:
    """Return an API key and an id for a conversation; the first key has one id for all its conversations.

    The other keys have a separate id for each conversation.
    """
    key = conversation % keys
    return str(key), str(conversation) if key else "always"


class OpenConversations:
    """A generator of messages from twenty open conversations, in random order; each has ``messages`` messages."""

    count = 20

    def __init__(self, rng: np.random.Generator, messages: int) -> None:
        self._rng, self._messages = rng, messages
        self._open = [(number, messages) for number in range(self.count)]
        self.newest = self.count - 1

    def next(self) -> tuple[int, bool]:
        """Return the number of the next message's conversation, and whether the message is the conversation's last."""
        index = int(self._rng.integers(self.count))
        conversation, left = self._open[index]
        self._open[index] = (conversation, left - 1)
        if left == 1:
            self.newest += 1
            self._open[index] = (self.newest, self._messages)
        return conversation, left == 1


class ConversationStream(Exchangeable):
    """A stream of conversations; the scores of a conversation's messages share 80 % of their variance."""

    shared = 0.8

    def __init__(self, seed: int, runs: int, messages: int = 5, ids: IdScheme = one_key) -> None:
        self._rng = np.random.default_rng([seed, 1])
        self._open, self._ids, self._runs = OpenConversations(self._rng, messages), ids, runs
        self._effects = {number: self._effect() for number in range(OpenConversations.count)}
        self._current, self._ended = 0, False

    def _effect(self) -> Floats:
        return self._rng.standard_normal((self._runs, SCORES))

    def event(self, number: int) -> Arrival:
        """Return the arrival of an event of an open conversation; there is one event per second."""
        self._current, self._ended = self._open.next()
        if self._ended:
            self._effects[self._open.newest] = self._effect()
        return Arrival(float(number), *self._ids(self._current))

    def scores(self, rng: np.random.Generator, number: int, runs: NDArray[np.intp]) -> Floats:
        """Return the scores of a message: the sum of its conversation's part and its own part."""
        own = super().scores(rng, number, runs)
        effect = self._effects.pop(self._current) if self._ended else self._effects[self._current]
        mixed: Floats = math.sqrt(self.shared) * effect[runs] + math.sqrt(1 - self.shared) * own
        return mixed


class DailyCycle(Exchangeable):
    """A stream with a daily cycle: the mean of every score rises and falls by one standard deviation per day."""

    def __init__(self, events_a_day: int) -> None:
        self._events_a_day = events_a_day

    def event(self, number: int) -> Arrival:
        """Return the arrival of an event; events are evenly distributed over the day."""
        return Arrival(number * DAY_SECONDS / self._events_a_day)

    def scores(self, rng: np.random.Generator, number: int, runs: NDArray[np.intp]) -> Floats:
        """Return scores whose mean depends on the time of day."""
        return super().scores(rng, number, runs) + math.sin(2 * math.pi * number / self._events_a_day)


def _unseeded(stream: Callable[[], Exchangeable]) -> Callable[[int, int], Exchangeable]:
    """Return a factory with the arguments (seed, runs) for a stream that needs neither."""
    return lambda _seed, _runs: stream()


_ANY_HOUR = {"daily": False}

#: Name → factory of the stream, called with (seed, runs), and the fields of `Budget` that differ from the default.
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
