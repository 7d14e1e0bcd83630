"""Score a log of inference as the score stage does, each time with other batches and another order of the partitions.

A model on a GPU or on two cores does not return the same last bits in every batch. Here a double of the encoder returns scores
and embeddings that depend on the batch in this way. Patterns for personal data, ids, features, buckets, drift and alerts are real.
"""

import hashlib
import random
from typing import Any, ClassVar

import msgspec
import numpy as np

from detectors.base import Finding, Reads, Score, StreamDetector, TextDetector
from detectors.registry import create_text
from stream.settings import TenantSettings
from stream.stages.score.machine import item_of, verdicts
from stream.stages.score.model_process import ModelProcess, ModelSpec, Scored
from stream.stages.score.records import finding_event, signal_events, verdict_event
from stream.stages.score.ticks import merge_ticks
from stream.stages.watch_app import stream_detectors as shipped_detectors
from stream.wire import Event, Usage, Verdict, canonical_time, inference_key, partition_for
from support.events import a_request, an_end, event_of, tick
from support.signal_log import Level, LevelDetector, interleaved, trace_of

START = 1_800_000_000.0
P = 4
SECONDS = 300
THRESHOLD = 0.5
#: About the change of a score of 0.5 if a float32 sum has another order.
LAST_BITS = 2e-6
#: Partitions are scored at most this many seconds apart.
_APART_SECONDS = 3


class _Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    threshold: float = THRESHOLD


class BatchedToxicity(TextDetector[_Config]):
    """Reads the score from the text's last word; the score's last bits depend on the batch."""

    name: ClassVar[str] = "toxicity"
    version: ClassVar[str] = "batched-1"
    config_type: ClassVar[type[msgspec.Struct]] = _Config
    reads: ClassVar[Reads] = Reads.PARTS

    def load(self) -> None:
        pass

    def score_many(self, texts: Any) -> list[Score]:
        return [self._score(text, _noise(texts, row)) for row, text in enumerate(texts)]

    def _score(self, text: str, noise: float) -> Score:
        score = float(text.rsplit(" ", 1)[1]) + LAST_BITS * noise
        flagged = score >= self.config.threshold
        return Score(score=score, label="toxic" if flagged else "ok", flagged=flagged)


class MeanToxicity(LevelDetector):
    """A stream detector that does not round: the last bits of every score are in its statistic.

    Drift and anomaly put values into bins, so their statistics are equal to the last bit. They would not reveal an id that
    hashes a score.
    """

    name: ClassVar[str] = "mean"
    version: ClassVar[str] = "mean-1"

    def update_many(self, observations: Any) -> Finding | None:
        scores = [one.features["score_toxicity"] for one in observations if "score_toxicity" in one.features]
        return self._finding(sum(scores) / len(scores)) if scores else None


class BatchedEmbedder:
    """Embeds a text as a direction of its subject plus a smaller direction of the text; the last bits depend on the batch."""

    version = "batched-1"

    def load(self) -> None:
        pass

    def embed_many(self, texts: Any) -> Any:
        rows = [_unit(text.split()[1]) + 0.3 * _unit(text) for text in texts]
        noise = np.asarray([_noise(texts, row) for row in range(len(texts))])
        return (np.stack(rows) * (1 + LAST_BITS * noise[:, None])).astype(np.float32)


def stream_detectors(settings: TenantSettings) -> dict[str, StreamDetector[Any]]:
    """Return the stream detectors of the product, and :class:`MeanToxicity`."""
    # No mean of scores with three decimals is within the last bits of this limit.
    return {**shipped_detectors(settings), "mean": MeanToxicity(Level(limit=0.300_012))}


def _noise(texts: Any, row: int) -> float:
    """Return a number in [-1, 1] that depends on a row and its whole batch."""
    return random.Random("\n".join((str(row), *texts))).uniform(-1, 1)


def _unit(text: str) -> Any:
    seed = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest())
    vector = np.random.default_rng(seed).normal(size=384)
    return vector / np.linalg.norm(vector)


def create(name: str, options: Any = None) -> TextDetector[Any]:
    """Create a detector by its name or the name of a version (``NAME@VARIANT``)."""
    name = name.partition("@")[0]
    return BatchedToxicity(_Config(**(options or {}))) if name == "toxicity" else create_text(name, options)


def load_models() -> ModelProcess:
    """Return the loaded engine for :class:`Scoring`; the import of the PII detector takes seconds."""
    engine = ModelProcess(
        ModelSpec(
            threads=1,
            detectors=("pii", "toxicity"),
            options={"pii": {"entities": False}},
            create=create,
            embedder=lambda _threads: BatchedEmbedder(),
        )
    )
    engine.load()
    return engine


def inference_log(seed: int, *, edge: bool = False) -> list[list[Event]]:
    """Return inference by partition: prompts and answers, two bursts of findings 150 s apart, new subjects from 200 s on.

    With `edge`, an additional tenant has some prompts whose score is the threshold, 100 s apart.
    """
    random_ = random.Random(seed)
    lanes: list[list[Event]] = [[] for _ in range(P)]
    for number in range(SECONDS):
        time = START + number + random_.uniform(0.05, 0.6)
        burst = number % 150 in range(70, 95) and number % 4 == 0
        topic = random_.choice(("garden", "travel", "cooking") if number < 200 else ("reactor", "centrifuge"))
        detail = "write to jo.public@example.com" if burst and number % 8 == 0 else f"in {random_.randint(2, 9)} words"
        level = round(random_.uniform(0.6, 0.9) if burst and number % 8 == 4 else random_.uniform(0.05, 0.4), 3)
        _exchange(lanes, f"r{number}", "demo-rescored", time, f"about {topic} {detail} {level}")
        if edge and number % 100 == 50:
            _exchange(lanes, f"e{number}", "demo-edge", time, f"about garden in 4 words {THRESHOLD}")
    return lanes


def gateway_tick(time: float) -> Event:
    """Return the tick that the log's only source writes to every partition once a second."""
    return tick(time, "gateway")


def _exchange(lanes: list[list[Event]], request_id: str, tenant: str, time: float, text: str) -> None:
    principal = f"k{len(request_id) + int(time) % 4}"
    where = {"tenant": tenant, "owed": ("pii", "toxicity"), "principal": principal}
    measured = {"usage": Usage(prompt_tokens=9, completion_tokens=7), "latency_seconds": 0.3}
    request = a_request(request_id, text, **where)
    end = an_end(request_id, "about answers in 5 words 0.1", **where, **measured)
    key = inference_key(tenant, request_id)
    for name, record, at in (("request", request, time), ("end", end, time + 0.3)):
        about = {"correlationid": request_id, "traceparent": trace_of(int(at * 1e3)), "key": key}
        event = event_of(record, f"{request_id}/{name}", canonical_time(at), source="gateway", **about)
        lanes[partition_for(key, P)].append(event)


class Scoring:
    """One run of the scorer over inference: signals and findings in one order, scores, and verdicts by partition."""

    def __init__(self, engine: ModelProcess, lanes: list[list[Event]], seed: int) -> None:
        self._engine = engine
        self._random = random.Random(seed)
        self.scores: dict[tuple[str, str], float] = {}
        self.log: list[Event] = []
        self.verdicts: list[list[Event]] = [[] for _ in lanes]
        for second in range(0, SECONDS + 60, _APART_SECONDS):
            self.log += interleaved(self._window(lanes, second, second + _APART_SECONDS), self._random)

    def _window(self, lanes: list[list[Event]], first: int, last: int) -> list[list[Event]]:
        """Return the outputs of the events in [first, last), by partition, with a tick after each second."""
        outputs: list[list[Event]] = [[] for _ in lanes]
        for second in range(first, last):
            edge = START + second
            timed = [(number, event) for number, lane in enumerate(lanes) for event in lane]
            due = [(number, event) for number, event in timed if edge <= event.time < edge + 1]
            self._random.shuffle(due)
            while due:
                size = self._random.randint(1, 8)
                batch, due = due[:size], due[size:]
                for number, outcome in self._score(batch):
                    self.verdicts[number] += [one for one in outcome if isinstance(one.data, Verdict)]
                    outputs[number] += [one for one in outcome if not isinstance(one.data, Verdict)]
            for number, output in enumerate(outputs):
                forwarded = merge_ticks(number, second, [gateway_tick(edge + 1)], "weir/score")
                output.append(forwarded)
                self.verdicts[number].append(forwarded)
        return outputs

    def _score(self, batch: list[tuple[int, Event]]) -> list[tuple[int, list[Event]]]:
        scored = self._engine.score([item_of(event.data, embed={"": event.data.text}) for _, event in batch])
        return [(number, self._outputs(event, one)) for (number, event), one in zip(batch, scored, strict=True)]

    def _outputs(self, event: Event, scored: Scored) -> list[Event]:
        found: list[Event] = []
        for verdict in verdicts(event, scored, lambda _: "unknown"):
            self.scores[event.id, verdict.detector] = verdict.score
            found.append(verdict_event(event, verdict, event.traceparent))
            finding = finding_event(event, verdict, event.traceparent)
            found += [finding] if finding is not None else []
        return [*found, *signal_events(event, scored, event.traceparent)]
