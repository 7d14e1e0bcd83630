"""Measure the engines in one process: ``make bench PARTS=engines``.

Every arm answers the same prompts of 64 tokens with 64 tokens each, greedily, prefill included. The arms take turns,
round by round, and medians are compared, so that a busy machine is busy for all of them. Over HTTP, `make bench`.
"""

import argparse
import asyncio
import statistics
import sys
import time
from collections.abc import Callable, Coroutine
from typing import Any

import msgspec
import torch

from serving.engine.fetch_model import ensure
from serving.engine.model_files import ModelFiles
from serving.engine.packed_engine import PackedEngine
from serving.engine.protocol import Engine, Sampling
from serving.engine.resources import Resources, choose_dtype
from serving.settings import ModelSettings

__all__ = ["main"]

_PROMPT_TOKENS = 64
_LONG_PROMPT_TOKENS = 400
_TEXT = (
    "A weir is a low wall across a stream that measures what flows over it. Request {number} asks about rivers. " * 8
)
_SLOTS = 8

_Arm = Callable[[], Coroutine[Any, Any, float]]


class _Options(msgspec.Struct, frozen=True):
    model: str
    tokens: int
    rounds: int
    threads: int


def main(arguments: list[str] | None = None) -> int:
    """Measure, print tokens a second and ratios; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="make bench PARTS=engines ARGS=…", description="Measure the engines in one process."
    )
    parser.add_argument(
        "--model", default=ModelSettings().name, help="a known name or a model directory of the Llama family"
    )
    parser.add_argument("--dtype", nargs="+", default=["float32", "bfloat16"], choices=["float32", "bfloat16"])
    parser.add_argument("--tokens", type=int, default=64, help="tokens generated for each prompt")
    parser.add_argument("--rounds", type=int, default=3, help="rounds, of which the median counts")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    given = parser.parse_args(arguments)
    options = _Options(given.model, given.tokens, given.rounds, given.threads)
    torch.set_num_threads(options.threads)
    files = ensure(options.model)
    _say(f"{options.model} {files.version}, {options.threads} threads, {_PROMPT_TOKENS} + {options.tokens} tokens")
    for dtype in given.dtype:
        asyncio.run(_measure(files, dtype, options))
    return 0


async def _measure(files: ModelFiles, dtype: str, options: _Options) -> None:
    resources = Resources(
        device=torch.device("cpu"),
        dtype=choose_dtype(dtype, torch.device("cpu")),
        slots=_SLOTS,
        threads=options.threads,
    )
    packed, plain = (PackedEngine(files.path, r) for r in (resources, msgspec.structs.replace(resources, pack=False)))
    for engine in (packed, plain):
        engine.load()
    arms: dict[str, _Arm] = {
        "generate, one after the other": _sequential(files, resources, packed, options),
        "weir, 1 at a time": _concurrent(packed, 1, options),
        f"weir, {_SLOTS} at once": _concurrent(packed, _SLOTS, options),
        f"weir, {_SLOTS} at once, weights not packed": _concurrent(plain, _SLOTS, options),
    }
    rates: dict[str, list[float]] = {name: [] for name in arms}
    for _ in range(options.rounds):
        for name, arm in arms.items():
            rates[name].append(await arm())
    gap, first = await _stall(packed, options)
    for engine in (packed, plain):
        await engine.close()
    _report(dtype, {name: statistics.median(values) for name, values in rates.items()})
    _say(
        f"  longest gap between tokens while {_LONG_PROMPT_TOKENS} join {gap * 1e3:7.0f} ms, their first after {first:.2f} s"
    )


def _report(dtype: str, rates: dict[str, float]) -> None:
    sequential, single, batch, plain = rates.values()
    _say(f"{dtype}")
    for name, rate in rates.items():
        _say(f"  {name:45s} {rate:8.1f} tokens/s")
    _say(f"  {_SLOTS} at once / 1 at a time {batch / single:23.2f} x")
    _say(
        f"  {_SLOTS} at once / generate {batch / sequential:26.2f} x, of which packing {batch / plain:.2f} x",
    )


def _say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def _prompt(engine: Engine, number: int, size: int = _PROMPT_TOKENS) -> list[int]:
    return (engine.encode(_TEXT.format(number=number)) * 4)[:size]


def _sequential(files: ModelFiles, resources: Resources, engine: Engine, options: _Options) -> _Arm:
    from transformers import AutoModelForCausalLM  # noqa: PLC0415 - seconds to import, and not needed for --help

    model: Any = AutoModelForCausalLM.from_pretrained(files.path, dtype=resources.dtype)

    async def arm() -> float:
        said, start = 0, time.perf_counter()
        for number in range(2):
            ids = torch.tensor([_prompt(engine, number)])
            mask = torch.ones_like(ids)
            out = model.generate(ids, attention_mask=mask, do_sample=False, max_new_tokens=options.tokens)
            said += out.shape[1] - ids.shape[1]
        return said / (time.perf_counter() - start)

    return arm


def _concurrent(engine: Engine, at_once: int, options: _Options) -> _Arm:
    sampling = Sampling(max_tokens=options.tokens, temperature=0.0)

    async def one(number: int) -> int:
        said = 0
        async for chunk in engine.generate(_prompt(engine, number), sampling):
            said = chunk.completion_tokens
        return said

    async def arm() -> float:
        start = time.perf_counter()
        if at_once > 1:
            said = sum(await asyncio.gather(*(one(number) for number in range(at_once))))
        else:
            said = sum([await one(number) for number in range(2)])
        return said / (time.perf_counter() - start)

    return arm


async def _stall(engine: Engine, options: _Options) -> tuple[float, float]:
    """Longest gap between a stream's chunks while a long prompt joins, and the time to that prompt's first token."""
    joined = asyncio.Event()
    sampling = Sampling(max_tokens=options.tokens, temperature=0.0)

    async def short() -> float:
        last, longest = time.perf_counter(), 0.0
        async for chunk in engine.generate(_prompt(engine, 0), sampling):
            now = time.perf_counter()
            if chunk.completion_tokens > 1:
                longest = max(longest, now - last)
                joined.set()
            last = now
        joined.set()
        return longest

    async def long() -> float:
        await joined.wait()
        start = time.perf_counter()
        stream = engine.generate(_prompt(engine, 1, _LONG_PROMPT_TOKENS), sampling)
        await anext(stream)
        taken = time.perf_counter() - start
        await stream.aclose()
        return taken

    gap, first = await asyncio.gather(short(), long())
    return gap, first


if __name__ == "__main__":
    sys.exit(main())
