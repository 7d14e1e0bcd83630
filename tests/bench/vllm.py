"""Tokens/s of the engine vllm over HTTP with 1, 8 and 64 requests at once: ``make bench-vllm``, in the environment .venv-vllm."""

import asyncio
import shutil
import subprocess
import tempfile
from pathlib import Path

from support.gateway import KEY
from support.vllm_serving import ENGINE, HAS_GPU, MODEL, VllmServing, settings, write_weights

from bench.generation import TOKENS, tokens_per_second

AT_ONCE = (1, 8, 64)
ROUNDS = 3


def processor() -> str:
    """Return the name of the GPU or, without one, of the processor."""
    if HAS_GPU:
        command = ["nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0]}, {len(names)} processors"


async def measure(url: str) -> None:
    await tokens_per_second(url, KEY, MODEL, 8, ignore_eos=True)  # the first answers are slower
    rates: dict[int, list[float]] = {count: [] for count in AT_ONCE}
    for _ in range(ROUNDS):
        for count in AT_ONCE:
            rates[count].append((await tokens_per_second(url, KEY, MODEL, count, ignore_eos=True))["rate"])
    for count, found in rates.items():
        print(
            f"{count:>3} requests: {sorted(found)[ROUNDS // 2]:7.1f} tokens/s (rounds: {', '.join(f'{r:.1f}' for r in found)})"
        )


def main() -> None:
    root = Path(tempfile.mkdtemp(prefix="weir-bench-"))
    model = write_weights(root / "weights")
    home = root / "home"
    home.mkdir()
    engine = {name: value for name, value in ENGINE.items() if name != "max_num_batched_tokens"}
    serving = VllmServing(home, settings(model, slots=AT_ONCE[-1], engine=engine, lora={}))
    try:
        serving.start()
        print(f"{processor()}; bfloat16, answers of {TOKENS} tokens, median of {ROUNDS} rounds")
        asyncio.run(measure(serving.url))
    finally:
        serving.stop()
        shutil.rmtree(serving.run_dir, ignore_errors=True)
        shutil.rmtree(root, ignore_errors=True)


if __name__ == "__main__":
    main()
