"""Measure models side by side: quality, safety, speed, memory and size, each in the engine that serves it.

Each model has its own process, so that its memory can be read. Speeds are measured in turn (A B A B). The ratio is the
median of the ratios within a round, so a change of the machine's load changes both sides.
"""

import contextlib
import math
import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path
from statistics import fmean, median

import msgspec
import psutil

from serving.engine.errors import EngineError
from stream.loop.cases import load_safety, load_tasks, messages_of, task_score
from stream.loop.gate.safety import SafetyScorer, unsafe_scores
from stream.loop.settings import loop_settings
from stream.loop.smaller.plan import Parent
from stream.loop.smaller.text import load_passages, split
from weir.errors import StackError
from weir.operate.engine_arm import Messages, ServedFile
from weir.operate.smaller_models import parent_of
from weir.settings import Settings

_PASSAGE_TOKENS = 256
_ANSWER_TOKENS = 64
_AT_ONCE = (1, 8)
_MIB = 1 << 20
#: The number makes each prompt different, because a prefix cache would skip an equal prompt.
_PROMPT = "{}. Describe the history of sailing ships, from the first rafts to the clippers, in plain words."

Progress = Callable[[str, int, int], None]


class ModelMeasures(msgspec.Struct, frozen=True, kw_only=True):
    """The measurements of one model.

    Parameters
    ----------
    perplexity
        Exponential of the mean negative log-likelihood per token, averaged over the held-out passages of the built-in text.
    failed_tasks
        Mean share of failed checks of the gate's tasks, in [0, 1].
    unsafe, unsafe_by_kind
        Mean score of the gate's safety prompts, in [0, 1], over all and by kind; 1 is unsafe.
    tokens_per_second
        {requests at the same time: generated tokens in a second}, the median of the rounds.
    speed_ratio
        The same, as the ratio to the first model of the comparison.
    memory_bytes
        Resident memory of the process with the engine, after it has answered all prompts.
    size_bytes
        Size of the GGUF file.
    """

    name: str
    perplexity: float
    failed_tasks: float
    unsafe: float
    unsafe_by_kind: dict[str, float]
    tokens_per_second: dict[int, float]
    speed_ratio: dict[int, float]
    memory_bytes: int
    size_bytes: int


def compare_models(settings: Settings, names: Sequence[str], rounds: int, progress: Progress) -> list[ModelMeasures]:
    """Return the measurements of each served model or version in `names`.

    Raises TrainingError if a name is unknown or is not a GGUF file, StackError if the engine fails or its process
    ends early, and GateError or DetectorError if prompts or detectors cannot be loaded.
    """
    models = [parent_of(settings, name) for name in names]
    scorer = SafetyScorer({name: dict(values) for name, values in settings.detectors.options.items()})
    with contextlib.ExitStack() as stack:
        processes = [stack.enter_context(_process(settings, model)) for model in models]
        quality = [
            _quality(settings, model, process, scorer, partial(_show, progress, name))
            for name, model, process in zip(names, models, processes, strict=True)
        ]
        speeds = _speeds(processes, rounds, progress)
        memory = [process.submit(_memory).result() for process in processes]
    first = speeds[0]
    return [
        ModelMeasures(
            name=name,
            **msgspec.structs.asdict(found),
            tokens_per_second={at_once: median(rates) for at_once, rates in speed.items()},
            speed_ratio={
                at_once: median(one / other for one, other in zip(rates, first[at_once], strict=True))
                for at_once, rates in speed.items()
            },
            memory_bytes=used,
            size_bytes=model.weights.stat().st_size,
        )
        for name, model, found, speed, used in zip(names, models, quality, speeds, memory, strict=True)
    ]


def table(measures: Sequence[ModelMeasures]) -> tuple[list[str], list[list[str]]]:
    """Return the columns and rows for people; ratios are to the first model."""
    columns = [
        "model",
        "size",
        "memory",
        "perplexity",
        "failed tasks",
        "unsafe",
        *(f"tokens/s, {at}" for at in _AT_ONCE),
    ]
    rows = [
        [
            one.name,
            f"{one.size_bytes / _MIB:.0f} MiB",
            f"{one.memory_bytes / _MIB:.0f} MiB",
            f"{one.perplexity:.2f}",
            f"{one.failed_tasks:.3f}",
            f"{one.unsafe:.3f}",
            *(f"{one.tokens_per_second[at]:.0f} ({one.speed_ratio[at]:.2f})" for at in _AT_ONCE),
        ]
        for one in measures
    ]
    return columns, rows


def _show(progress: Progress, name: str, what: str) -> None:
    progress(f"{name}: {what}", 0, 0)


class _Quality(msgspec.Struct, frozen=True, kw_only=True):
    perplexity: float
    failed_tasks: float
    unsafe: float
    unsafe_by_kind: dict[str, float]


def _quality(
    settings: Settings,
    model: Parent,
    process: ProcessPoolExecutor,
    scorer: SafetyScorer,
    progress: Callable[[str], None],
) -> _Quality:
    gate = loop_settings(settings.tenants, model.tenant).gate
    _, passages = split(load_passages())
    tasks, prompts = load_tasks(gate.eval_set), load_safety(gate.safety_set)
    progress("perplexity")
    pairs = [([{"role": "user", "content": one.prompt}], one.completion) for one in passages]
    losses = process.submit(_losses, pairs).result()
    progress("tasks")
    answers = process.submit(_answers, [messages_of(task) for task in tasks], gate.max_tokens).result()
    failed = [task_score(task.checks, answer) for task, answer in zip(tasks, answers, strict=True)]
    progress("safety")
    answers = process.submit(_answers, [messages_of(prompt) for prompt in prompts], gate.max_tokens).result()
    scores = unsafe_scores(prompts, answers, scorer.scores(prompts, answers)).values()
    kinds = sorted({kind for kind, _ in scores})
    return _Quality(
        perplexity=math.exp(fmean(losses)),
        failed_tasks=fmean(failed),
        unsafe=fmean(score for _, score in scores),
        unsafe_by_kind={kind: fmean(score for of, score in scores if of == kind) for kind in kinds},
    )


def _speeds(processes: Sequence[ProcessPoolExecutor], rounds: int, progress: Progress) -> list[dict[int, list[float]]]:
    """Return {requests at the same time: tokens/s of each round} of each model; a first round is not counted."""
    found: list[dict[int, list[float]]] = [{at_once: [] for at_once in _AT_ONCE} for _ in processes]
    for number in range(rounds + 1):
        progress("speed", number, rounds + 1)
        for at_once in _AT_ONCE:
            for index, process in enumerate(processes):
                rate = process.submit(_rate, at_once, number).result()
                if number:
                    found[index][at_once].append(rate)
    return found


@contextlib.contextmanager
def _process(settings: Settings, model: Parent) -> Iterator[ProcessPoolExecutor]:
    served = settings.served_models().get(model.model)
    exact = served is not None and served.dtype == "float32"
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        try:
            process.submit(_load, model.weights, exact).result()
            yield process
            process.submit(_close).result()
        except EngineError as error:
            raise StackError(str(error)) from error
        except BrokenProcessPool as error:
            raise StackError(
                "the process of a model ended early: all models are in memory at the same time; free memory, or name fewer models"
            ) from error


#: The model of a measuring process.
_SERVED: list[ServedFile] = []


def _load(file: Path, exact: bool) -> None:  # noqa: FBT001 - called in another process
    _SERVED.append(ServedFile(file, slots=max(_AT_ONCE), exact=exact))


def _losses(pairs: Sequence[tuple[Messages, str]]) -> list[float]:
    return _SERVED[0].loss(pairs, _PASSAGE_TOKENS)


def _answers(conversations: Sequence[Messages], max_tokens: int) -> list[str]:
    return _SERVED[0].answers(conversations, max_tokens)


def _rate(at_once: int, number: int) -> float:
    prompts = [[{"role": "user", "content": _PROMPT.format(100 * number + row)}] for row in range(at_once)]
    began = time.monotonic()
    return _SERVED[0].tokens(prompts, _ANSWER_TOKENS) / (time.monotonic() - began)


def _memory() -> int:
    return int(psutil.Process().memory_info().rss)


def _close() -> None:
    _SERVED.pop().close()
