"""CPU time of score per event, by cause, on real prompts and answers.

``make bench PARTS=score ARGS="DATA_DIR [PRECISION…]"``: DATA_DIR has ``ordinary/t0_tasks_half.jsonl.gz``,
``ordinary/gsm8k_train_3000.jsonl.gz`` and ``traffic/mtbench_prompts.jsonl``. One process without Kafka scores the mix in
batches of 32 events, as a model process does; several precisions are measured alternately in one process. A cause's time excludes the
time of the causes that it calls. The CPU time of the worker (Faust, Kafka, publishing) is ``stream_cpu_ms_per_event`` of
``PARTS=score_rate``.
"""

import argparse
import functools
import gzip
import json
import pickle
import random
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

from support import model_caches, score_stack

from bench.rounds import say
from detectors.models import language_model, linear, minilm, multitask, token_windows
from detectors.pii import entities, patterns, token_head
from detectors.text import shared_encoder
from stream.content import decode_content
from stream.settings import DetectorSettings, ScoreSettings
from stream.stages.score.machine import item_of, verdicts
from stream.stages.score.model_process import ModelProcess, ModelSpec
from stream.stages.score.records import signal_events, verdict_event
from stream.stages.score_app import model_spec
from stream.wire import Event, encode

ROUNDS, BATCH, SEED = 3, 32, 0
#: Number of samples from each data set in the mix; MT-Bench has no answers, so each turn of a sample is a request.
T0, GSM8K, MTBENCH = 48, 24, 16
Place = tuple[Any, str]
#: Causes and their functions.
CAUSES: dict[str, tuple[Place, ...]] = {
    "encoder": ((multitask, "log_odds"),),
    "embedding model": ((minilm, "encode_mean"),),
    "tokenising": ((token_windows, "tokenize"), (entities, "encode")),
    "PII patterns": ((patterns.PatternScanner, "scan"),),
    "PII token head": ((token_head.Loaded, "probabilities"),),
    "cheap tier": ((linear.Linear, "highest_logits"),),
    "language identification": ((language_model.LanguageModel, "certain"),),
    "disguise copies (text)": ((shared_encoder, "views"),),
}


def lines(path: Path) -> list[dict[str, Any]]:
    data = path.read_bytes()
    text = gzip.decompress(data) if path.suffix == ".gz" else data
    return [json.loads(line) for line in text.decode().splitlines()]


def exchanges(data: Path) -> list[tuple[str, str]]:
    """Return (prompt, answer) of the mix, in a fixed random order; an answer is empty if the source has none."""
    rng = random.Random(SEED)
    t0 = rng.sample(lines(data / "ordinary/t0_tasks_half.jsonl.gz"), T0)
    gsm8k = rng.sample(lines(data / "ordinary/gsm8k_train_3000.jsonl.gz"), GSM8K)
    mtbench = rng.sample(lines(data / "traffic/mtbench_prompts.jsonl"), MTBENCH)
    found = [(row["prompt"], row["completion"]) for row in t0]
    found += [(row["question"], row["answer"]) for row in gsm8k]
    found += [(turn, "") for row in mtbench for turn in row["turns"]]
    rng.shuffle(found)
    return found


def events(data: Path) -> list[Event]:
    """Return the request and, if there is an answer, the end record of each exchange."""
    settings = DetectorSettings()
    found: list[Event] = []
    for number, (prompt, answer) in enumerate(exchanges(data)):
        name = f"bench-{number}"
        found.append(score_stack.request(name, prompt, at=1.8e9 + number, owed=settings.input))
        if answer:
            found.append(score_stack.end(name, answer, at=1.8e9 + number + 0.5, owed=settings.output))
    return found


class CauseTimes:
    """Exclusive CPU time of each cause, over all threads of this process."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()
        self._inner: list[float] = []

    @contextmanager
    def cause(self, name: str) -> Iterator[None]:
        begun = time.process_time()
        self._inner.append(0.0)
        try:
            yield
        finally:
            spent = time.process_time() - begun
            self.seconds[name] += spent - self._inner.pop()
            if self._inner:
                self._inner[-1] += spent

    def timed(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def call(*arguments: Any, **named: Any) -> Any:
            with self.cause(name):
                return function(*arguments, **named)

        return call

    @contextmanager
    def patched(self) -> Iterator[None]:
        with ExitStack() as stack:
            for name, places in CAUSES.items():
                for owner, attribute in places:
                    stack.enter_context(patch.object(owner, attribute, self.timed(name, getattr(owner, attribute))))
            yield


def one_round(process: ModelProcess, batches: list[list[Event]]) -> CauseTimes:
    """Score all batches once: decode, score, build and encode the outputs, and pickle as between processes."""
    times = CauseTimes()
    records = [[encode(event) for event in batch] for batch in batches]
    with times.patched():
        for batch in records:
            with times.cause("decoding"):
                read = [decode_content(record.value, record.headers) for record in batch]
                items = [item_of(event.data, embed={"": event.data.text}) for event in read]
            with times.cause("pickling"):
                items = pickle.loads(pickle.dumps(items))
            with times.cause("other"):
                scored = process.score(items)
            with times.cause("pickling"):
                scored = pickle.loads(pickle.dumps(scored))
            with times.cause("building and encoding outputs"):
                for event, outcome in zip(read, scored, strict=True):
                    for verdict in verdicts(event, outcome, lambda _: "unknown"):
                        encode(verdict_event(event, verdict, event.traceparent))
                    for signal in signal_events(event, outcome, event.traceparent):
                        encode(signal)
    return times


def spec_of(precision: str) -> ModelSpec:
    options = {name: {"precision": precision} for name in ("toxicity", "injection", "refusal")}
    return model_spec(DetectorSettings(options=options), ScoreSettings(precision=precision))


def forget(process: ModelProcess) -> None:
    """Empty the models' caches, so that a round does not reuse results of the previous round."""
    for detector in process._detectors.values():
        if isinstance(detector, shared_encoder.EncoderDetector):
            model_caches.forget(detector)


def measure(data: Path, precisions: list[str]) -> None:
    mix = events(data)
    batches = [mix[start : start + BATCH] for start in range(0, len(mix), BATCH)]
    characters = sum(len(event.data.text) for event in mix) / len(mix)
    sides = Counter(event.type.split(".")[2] for event in mix)
    print(
        f"{len(mix)} events ({dict(sides)}), {characters:.0f} characters on average: {T0} exchanges of t0 tasks, {GSM8K} of GSM8K, "
        f"{2 * MTBENCH} prompts of MT-Bench; seed {SEED}, {BATCH} events per batch, one thread; CPU ms per event, medians of {ROUNDS} rounds"
    )
    processes = {name: ModelProcess(spec_of(name)) for name in precisions}
    found: dict[str, list[Counter[str]]] = {name: [] for name in precisions}
    for process in processes.values():
        process.load()
    for number in range(ROUNDS + 1):
        for name, process in processes.items():
            say(f"{name}: {f'round {number} of {ROUNDS}' if number else 'warm-up round'}")
            forget(process)
            seconds = one_round(process, batches).seconds
            found[name] += [seconds] if number else []
    for name, rounds in found.items():
        causes = sorted(rounds[0], key=lambda cause: -statistics.median(one[cause] for one in rounds))
        total = statistics.median(one.total() for one in rounds)
        print(f"{name}: {1000 * total / len(mix):.2f} ms per event, {len(mix) / total:.0f} events per CPU second")
        for cause in causes:
            print(f"  {cause:32} {1000 * statistics.median(one[cause] for one in rounds) / len(mix):7.3f}")


def main() -> None:
    parser = argparse.ArgumentParser(prog="make bench PARTS=score ARGS=…")
    parser.add_argument("data", type=Path, metavar="DATA_DIR", help="folder of the labelled sets (docs/detectors.md)")
    parser.add_argument("precision", nargs="*", help="float32 (if none is named), bfloat16, int8")
    options = parser.parse_args()
    try:
        measure(options.data, options.precision or ["float32"])
    except FileNotFoundError as error:
        parser.error(f"there is no file {error.filename}: name the folder of the labelled sets")


if __name__ == "__main__":
    main()
