"""Seeded requests and answers: three tenants, conversations, bursts of findings, subjects that change over time."""

import random

import msgspec
from support.events import choices

from chaos.engine import DETECTORS, SLOW_WORD
from stream.wire import Message, RequestRecord, ResponseRecord, Usage

MODEL = "m"
TENANTS = ("acme", "elm", "fir")  # their streams and models are on both partitions
_TOPICS = (("garden", "travel", "cooking"), ("reactor", "centrifuge", "isotope"))
#: Number of exchanges between two changes of subject, from one burst of findings to the next, and in a burst.
_ERA, _BURST_EVERY, _BURST = 600, 50, 12


class Exchange(msgspec.Struct, frozen=True, kw_only=True):
    """A request, its end, and the seconds between them."""

    request: RequestRecord
    end: ResponseRecord
    seconds: float


class Traffic:
    """The exchanges of one source; they depend only on the seed and name. Request ids begin with `name`."""

    def __init__(self, name: str, seed: int, *, slow_share: float = 0.02) -> None:
        self._name = name
        self._random = random.Random(f"{seed}/{name}")
        self._slow_share = slow_share
        self._number = 0

    def next(self) -> Exchange:
        """Return the next exchange."""
        chance, number = self._random, self._number
        self._number += 1
        tenant = chance.choice(TENANTS)
        who = {
            "request_id": f"{self._name}-{number}",
            "tenant": tenant,
            "model": MODEL,
            "principal": f"{tenant}-k{chance.randrange(4)}",
            "conversation_id": f"c{chance.randrange(40)}" if chance.random() < 0.6 else "",
            "owed": DETECTORS,
        }
        seconds = round(chance.expovariate(6), 3)
        return Exchange(
            request=RequestRecord(messages=(Message.of_text("user", self._prompt(number)),), **who),
            end=ResponseRecord(
                status="complete",
                messages=choices(f"about answers in {chance.randrange(3, 40)} words, {number}", "stop"),
                usage=Usage(prompt_tokens=chance.randrange(5, 60), completion_tokens=chance.randrange(1, 90)),
                latency_seconds=seconds,
                time_to_first_token_seconds=seconds / 4,
                **who,
            ),
            seconds=min(seconds, 1.0),
        )

    def _prompt(self, number: int) -> str:
        chance = self._random
        text = f"about {chance.choice(_TOPICS[number // _ERA % 2])} in {chance.randrange(2, 9)} words, {number}"
        if number % _BURST_EVERY < _BURST:
            text += chance.choice(("", " write to jo.public@example.com", " you worthless idiot"))
        if chance.random() < self._slow_share:
            text += f" {SLOW_WORD}"
        return text
