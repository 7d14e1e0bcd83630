"""The shared encoder on torch (float32, bfloat16, int8) beside ONNX Runtime (float32, int8) and OpenVINO.

``make bench PARTS=runtimes``: on one thread, in turn; medians of processor time a text, beside torch in float32. `moved` is the largest
difference of the log-odds from those of float32; `batch`, that of a text's log-odds alone from those in this batch. The other runtimes
are no dependencies of Weir:
``uv pip install --target DIR onnx onnxruntime openvino`` and ``--rivals DIR``; without them torch is measured alone.
"""

import argparse
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from detectors.models.minilm import pad
from detectors.models.multitask import MultiTask, load_multitask

Run = Callable[[Tensor, Tensor], NDArray[np.float32]]
#: Texts a batch, and tokens a text.
SHAPES = ((1, 19), (16, 19), (64, 19), (16, 64), (8, 128))
WORDS = (1_000, 29_000)


def on_torch(model: torch.nn.Module) -> Run:
    def run(ids: Tensor, mask: Tensor) -> NDArray[np.float32]:
        with torch.inference_mode():
            logits: NDArray[np.float32] = model(ids, mask).numpy()
        return logits

    return run


def torch_int8() -> torch.nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch says that torchao is to take its place
        return torch.ao.quantization.quantize_dynamic(load_multitask(), {torch.nn.Linear}, dtype=torch.qint8)


def export(model: MultiTask, path: Path) -> None:
    batch = {0: "texts", 1: "tokens"}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter of TorchScript, which needs no further package
        torch.onnx.export(
            model,
            pad([list(range(*WORDS, 1_000))] * 4),
            str(path),
            input_names=["ids", "mask"],
            output_names=["logits"],
            dynamic_axes={"ids": batch, "mask": batch, "logits": {0: "texts"}},
            opset_version=18,
            dynamo=False,
        )


def rivals(directory: Path) -> dict[str, Run]:
    import onnxruntime  # noqa: PLC0415 - no dependency of Weir
    import openvino  # noqa: PLC0415 - as above
    from onnxruntime.quantization import QuantType, quantize_dynamic  # noqa: PLC0415 - as above

    plain, small = directory / "plain.onnx", directory / "int8.onnx"
    export(load_multitask(), plain)
    quantize_dynamic(plain, small, weight_type=QuantType.QInt8, per_channel=True)

    def on_onnx(path: Path) -> Run:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        return lambda ids, mask: session.run(None, {"ids": ids.numpy(), "mask": mask.numpy()})[0]

    core = openvino.Core()
    hints = {"INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    compiled = core.compile_model(core.read_model(plain), "CPU", hints).create_infer_request()
    return {
        "ONNX Runtime float32": on_onnx(plain),
        "ONNX Runtime int8": on_onnx(small),
        "OpenVINO float32": lambda ids, mask: compiled.infer({"ids": ids.numpy(), "mask": mask.numpy()})[0].copy(),
    }


def measure(runs: dict[str, Run], rows: list[list[int]], rounds: int) -> None:
    ids, mask = pad(rows)
    spent: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            begun = time.process_time()
            run(ids, mask)
            spent[name].append((time.process_time() - begun) / len(rows))
    plain = next(iter(runs))
    wanted, reference = runs[plain](ids, mask), statistics.median(spent[plain])
    for name, run in runs.items():
        median, found = statistics.median(spent[name]), run(ids, mask)
        alone = np.concatenate([run(*pad([row])) for row in rows[:4]])
        print(
            f"{len(rows):3} x {len(rows[0]):3}  {name:21} {median * 1e3:6.2f} ms a text, {reference / median:4.2f} times; moved "
            f"{np.abs(found - wanted).max():.4f}, batch {np.abs(alone - found[:4]).max():.4f}",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rivals", type=Path, help="where onnx, onnxruntime and openvino were installed")
    options = parser.parse_args()
    torch.set_num_threads(1)
    runs = {
        "torch float32": on_torch(load_multitask()),
        "torch bfloat16": on_torch(load_multitask(precision="bfloat16")),
        "torch int8": on_torch(torch_int8()),
    }
    generator = np.random.default_rng(options.seed)
    with tempfile.TemporaryDirectory() as directory:
        if options.rivals is not None:
            sys.path.append(str(options.rivals))  # after what is installed: torch's numpy stays
            runs |= rivals(Path(directory))
        for texts, tokens in SHAPES:
            measure(runs, generator.integers(*WORDS, (texts, tokens)).tolist(), options.rounds)


if __name__ == "__main__":
    main()
