"""Events of reviewed requests, and a scanner without models."""

import hashlib
import random
import re
from typing import ClassVar

import numpy as np

from detectors.base import Span
from stream.loop.dataset.curate import curate
from stream.loop.dataset.exchanges import ExchangeJoin
from stream.loop.settings import DatasetSettings
from stream.wire import CorrectionRecord, Feedback, Signal, Verdict
from stream.wire import Span as VerdictSpan
from support.events import a_request, an_end, event_of

TENANT, MODEL = "acme", "m"
START = 1_800_000_000.0
#: Limits that are low enough for datasets from small logs.
LOOSE = DatasetSettings(min_examples=1, min_principals=1, feedback_min_principals=1, eval_share=0.0)
_EMAIL = re.compile(r"[\w.]+@[\w.]+\w")
_WORDS = [
    "amber",
    "basil",
    "cedar",
    "delta",
    "ember",
    "fjord",
    "grove",
    "heron",
    "ivory",
    "jetty",
    "karst",
    "lemon",
    "maple",
    "nylon",
    "ocean",
    "pearl",
    "quartz",
    "river",
    "sable",
    "tulip",
]


class WordScanner:
    """Finds e-mail addresses, the word `vile` and the word `jailbreak`; the language is that of a `lang:xx` mark."""

    versions: ClassVar = {"pii": "test-1", "toxicity": "test-1", "injection": "test-1"}

    def __init__(self):
        self.read = []

    def personal(self, texts):
        self.read += texts
        return [
            tuple(Span(start=m.start(), end=m.end(), type="EMAIL_ADDRESS", score=1.0) for m in _EMAIL.finditer(text))
            for text in texts
        ]

    def flagged(self, detector, texts):
        word = {"toxicity": "vile", "injection": "jailbreak"}[detector]
        return [word in text for text in texts]

    def language(self, text):
        found = re.search(r"lang:(\w\w)", text)
        return found[1] if found else "en"


def words(seed, count=9):
    """Return a sentence; the sentences of two seeds are not near duplicates."""
    draw = random.Random(f"words {seed}")
    return " ".join(f"{draw.choice(_WORDS)}{draw.randrange(50)}" for _ in range(count))


def embedding(group, seed):
    rng = np.random.default_rng([group, 7])
    vector = rng.normal(size=96) + 0.1 * np.random.default_rng([group, seed, 1]).normal(size=96)
    return (vector / np.linalg.norm(vector)).astype("<f2").tobytes()


def exchange(name, *, prompt=None, answer=None, at=0.0, conversation="", author="k0", group=None, end=(), **request):
    """Return the events of one request and its answer; `group` is the cluster of its embedding."""
    text = words(f"prompt {name}") if prompt is None else prompt
    fields = {"principal": author, "conversation_id": conversation} | request
    events = [
        event_of(a_request(name, text, **fields), f"{name}/request", START + at),
        event_of(
            an_end(name, words(f"answer {name}") if answer is None else answer, **dict(end)),
            f"{name}/end",
            START + at + 1,
        ),
    ]
    if group is not None:
        seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big")
        signal = Signal(
            request_id=name, event_id=f"{name}/request", tenant=TENANT, model=MODEL, side="input", time=START + at,
            embedding=embedding(group, seed),
        )  # fmt: skip
        events.append(event_of(signal, f"{name}/request/signal", START + at))
    return events


def correction(name, answer, *, by="r0", at=10.0):
    data = CorrectionRecord(request_id=name, tenant=TENANT, at=START + at, principal=by, answer=answer)
    return event_of(data, f"{name}/correction/{by}/{at}", START + at)


def approval(name, *, by="r0", at=10.0):
    data = CorrectionRecord(request_id=name, tenant=TENANT, at=START + at, principal=by, approved=True)
    return event_of(data, f"{name}/approval/{by}/{at}", START + at)


def thumb(name, rating="up", *, by="u0", at=10.0):
    data = Feedback(request_id=name, tenant=TENANT, principal=by, rating=rating)
    return event_of(data, f"{name}/thumb/{by}/{at}", START + at)


def verdict(name, detector, *, side="input", flagged=True, spans=(), part="/messages/0/parts/0"):
    data = Verdict(
        request_id=name, event_id=f"{name}/{'request' if side == 'input' else 'end'}", tenant=TENANT, model=MODEL, side=side,
        detector=detector, version="1", flagged=flagged, label="x", score=1.0, part=part,
        spans=tuple(VerdictSpan(start=start, end=end, type=kind) for start, end, kind in spans),
    )  # fmt: skip
    return event_of(data, f"{name}/{side}/{detector}", START)


def join(*events):
    found = ExchangeJoin(TENANT, MODEL)
    for event in events:
        found.add(event)
    return found


def rows_of(events, settings=LOOSE, kind="sft", **more):
    return curate(join(*events).exchanges(), settings, kind, WordScanner(), **more)


def loose(**changes):
    return LOOSE.model_copy(update=changes)


def reviewed(count, **fields):
    """Return `count` requests with approved answers, each reviewed by one of five keys."""
    events = []
    for number in range(count):
        name = f"q{number}"
        events += [*exchange(name, group=number % 4, **fields), approval(name, by=f"r{number % 5}")]
    return events
