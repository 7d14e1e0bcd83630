"""Tokens/s of the default model by number of concurrent requests, and of two replicas relative to one on the same cores.

``make bench PARTS=batch`` measures the engine without HTTP. Each round measures all cases in turn; a figure is the median of the rounds.
"""

import itertools
import multiprocessing
import os
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from statistics import median

from bench.exactness import default_model
from serving.engine.gguf_file import find_gguf
from weir.operate.engine_arm import ServedFile

AT_ONCE = (1, 2, 4, 8, 16, 32)
ROUNDS, TOKENS = 3, 64
PROMPT = "{}. Describe the history of sailing ships, from the first rafts to the clippers, in plain words."
_NUMBERS = itertools.count()
_SERVED: list[ServedFile] = []


def prompts(count: int) -> list[list[dict[str, str]]]:
    return [[{"role": "user", "content": PROMPT.format(f"{os.getpid()}-{next(_NUMBERS)}")}] for _ in range(count)]


def default_file() -> Path:
    """Return the GGUF file of the default model."""
    file = find_gguf(default_model())
    assert file is not None, default_model()
    return file


def load(file: Path, cores: set[int]) -> float:
    """Load the model in this process, on `cores`; return the duration in seconds."""
    os.sched_setaffinity(0, cores)
    began = time.monotonic()
    _SERVED.append(ServedFile(file, slots=max(AT_ONCE)))
    return time.monotonic() - began


def generate(count: int, tokens: int) -> tuple[int, float]:
    """Return the number of tokens of `count` concurrent answers, and the duration in seconds."""
    began = time.monotonic()
    return _SERVED[0].tokens(prompts(count), tokens), time.monotonic() - began


def process() -> ProcessPoolExecutor:
    return ProcessPoolExecutor(1, multiprocessing.get_context("spawn"))


def batches(file: Path, cores: set[int]) -> None:
    with process() as one:
        print(f"load {one.submit(load, file, cores).result():.1f} s", flush=True)
        one.submit(generate, 1, TOKENS).result()
        rates: dict[int, list[float]] = {count: [] for count in AT_ONCE}
        first: dict[int, list[float]] = {count: [] for count in AT_ONCE}
        for _ in range(ROUNDS):
            for count in AT_ONCE:
                made, seconds = one.submit(generate, count, TOKENS).result()
                rates[count].append(made / seconds)
                first[count].append(one.submit(generate, count, 1).result()[1])
    print("requests  tokens/s  ratio  tokens/s of each  first token of all, s")
    for count in AT_ONCE:
        rate, ratio = median(rates[count]), median(a / b for a, b in zip(rates[count], rates[1], strict=True))
        print(f"{count:8} {rate:9.0f} {ratio:6.2f} {rate / count:17.1f} {median(first[count]):22.2f}", flush=True)


def replicas(file: Path, cores: list[int]) -> None:
    """Compare 8 requests in one process on all cores with 4 requests in each of two processes on half of the cores each."""
    half = len(cores) // 2
    with process() as whole, process() as left, process() as right:
        for one, own in ((whole, set(cores)), (left, set(cores[:half])), (right, set(cores[half:]))):
            one.submit(load, file, own).result()
            one.submit(generate, 1, TOKENS).result()
        ratios = []
        for _ in range(ROUNDS):
            made, seconds = whole.submit(generate, 8, TOKENS).result()
            began = time.monotonic()
            both = [one.submit(generate, 4, TOKENS) for one in (left, right)]
            total = sum(future.result()[0] for future in both)
            ratios.append(total / (time.monotonic() - began) / (made / seconds))
    print(f"two replicas on half of the cores each: {median(ratios):.2f} of the tokens/s of one replica on all cores")


if __name__ == "__main__":
    model = default_file()
    available = sorted(os.sched_getaffinity(0))
    batches(model, set(available))
    if len(available) > 1:
        replicas(model, available)
