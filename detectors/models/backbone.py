"""MiniLM for scoring: compiled by OpenVINO on a CPU, or in torch on a GPU.

On a CPU, OpenVINO needs less time than torch (docs/benchmarks.md). A row's result does not depend on the other rows of
its batch, except for rounding errors of float32. torch's bfloat16 rounds the output of every operation. Here, only the
inputs of matrix products are bfloat16 or int8; sums, norms and the residual stream are float32.
"""

from functools import cache
from typing import Any

import numpy as np
import openvino
import torch
from numpy.typing import NDArray
from openvino import PartialShape, Type
from openvino import opset15 as ops
from torch import Tensor, nn

from detectors.errors import UnsupportedError
from detectors.models.compute import Compute, Precision
from detectors.models.minilm import EPSILON, HEADS, HIDDEN, LAYERS, MiniLM

#: Added to the attention logits of padding.
_MASKED = 1e4
#: int8 activations have one scale for each token and this number of inputs, so that a token's result does not depend on other tokens.
_GROUP = 128
Array = NDArray[np.float32]
#: A node or an output of OpenVINO's graph, or a constant array.
Node = Any


class _Openvino(nn.Module):
    """The layers of MiniLM after `first`, up to `last`, in OpenVINO; ``forward`` is that of `MiniLM`."""

    def __init__(self, model: MiniLM, compute: Compute, first: int, last: int) -> None:
        super().__init__()
        self._inputs: torch.dtype = torch.float32 if first else torch.int32
        weights = {name: value.float().numpy() for name, value in model.state_dict().items()}
        graph = _graph(weights, first, last, quantised=compute.precision == "int8")
        self._request = compile_graph(graph, compute.precision, compute.threads)

    def forward(self, inputs: Tensor, mask: Tensor) -> Tensor:
        """Return the token vectors, (n, length, 384), of ``inputs``; ``mask``, (n, length), is true at tokens."""
        found = self._request.infer([inputs.to(self._inputs).numpy(), mask.float().numpy()])
        return torch.from_numpy(found[0])


class _OnDevice(nn.Module):
    """The layers of MiniLM after `first`, up to `last`, in torch on a device; inputs, mask and result are on the CPU."""

    def __init__(self, model: MiniLM, compute: Compute, first: int = 0, last: int = LAYERS) -> None:
        super().__init__()
        self._device, self._layers = torch.device(compute.device), (first, last)
        precision = getattr(torch, compute.precision)
        self._inputs: torch.dtype = precision if first else torch.int64
        self._model = model.to(self._device, precision)

    def forward(self, inputs: Tensor, mask: Tensor) -> Tensor:
        """Return the token vectors as `MiniLM.forward` does, in float32."""
        moved = inputs.to(self._device, self._inputs)
        hidden: Tensor = self._model(moved, mask.to(self._device), *self._layers).float().cpu()
        return hidden


def compiled(model: MiniLM, compute: Compute, first: int = 0, last: int = LAYERS) -> nn.Module:
    """Return a module that computes the layers of ``model`` after `first`, up to `last`, with the type and device of `compute`.

    Its inputs are those of `MiniLM.forward`. Later changes of ``model`` have no effect on the module.

    Raises UnsupportedError if this machine lacks the device or the instructions.
    """
    compute.check()
    if compute.device == "cpu":
        return _Openvino(model, compute, first, last)
    if not torch.cuda.is_available():
        raise UnsupportedError(
            "score.device is cuda, and torch finds no GPU: install a GPU driver, or set score.device to cpu"
        )
    return _OnDevice(model, compute, first, last)


def compile_graph(graph: openvino.Model, precision: Precision, threads: int) -> openvino.InferRequest:
    """Compile a graph for the CPU; with 0 threads, it uses as many as torch uses in this process."""
    options: dict[str, object] = {
        "INFERENCE_PRECISION_HINT": "bf16" if precision == "bfloat16" else "f32",
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": _GROUP if precision == "int8" else 0,
        "INFERENCE_NUM_THREADS": threads or torch.get_num_threads(),
        "NUM_STREAMS": 1,
        "ENABLE_CPU_PINNING": False,
    }
    return _core().compile_model(graph, "CPU", options).create_infer_request()


@cache
def _core() -> openvino.Core:
    return openvino.Core()


def _graph(weights: dict[str, Array], first: int, last: int, *, quantised: bool) -> openvino.Model:
    """Build the layers of MiniLM after `first`, up to `last`.

    Inputs are ids, int32 (n, length), or token vectors, float32 (n, length, 384), and a mask, float32 (n, length), which is 1 at tokens.
    """
    mask = ops.parameter(PartialShape([-1, -1]), Type.f32, "mask")
    if first:
        inputs = hidden = ops.parameter(PartialShape([-1, -1, HIDDEN]), Type.f32, "hidden")
    else:
        inputs = ops.parameter(PartialShape([-1, -1]), Type.i32, "ids")
        length = ops.gather(ops.shape_of(inputs, "i64"), [1], 0)
        positions = ops.slice(ops.constant(weights["positions.weight"]), [0], length, [1], [0])
        words = ops.gather(ops.constant(weights["words.weight"]), inputs, 0)
        hidden = _norm(ops.add(words, positions), weights, "norm")
    padding = ops.multiply(ops.subtract(ops.unsqueeze(mask, [1, 2]), np.float32(1)), np.float32(_MASKED))
    for number in range(first, last):
        layer = f"layers.{number}"
        query, key, value = (
            _heads(_linear(hidden, weights, f"{layer}.qkv", quantised, slice(part * HIDDEN, (part + 1) * HIDDEN)))
            for part in range(3)
        )
        attended = ops.transpose(ops.scaled_dot_product_attention(query, key, value, padding), [0, 2, 1, 3])
        joined = ops.reshape(attended, [0, 0, HIDDEN], special_zero=True)
        added = ops.add(hidden, _linear(joined, weights, f"{layer}.out", quantised))
        hidden = _norm(added, weights, f"{layer}.norm_attention")
        inner = ops.gelu(_linear(hidden, weights, f"{layer}.inner", quantised), "erf")
        added = ops.add(hidden, _linear(inner, weights, f"{layer}.outer", quantised))
        hidden = _norm(added, weights, f"{layer}.norm_output")
    return openvino.Model([hidden], [inputs, mask], "minilm")


def _heads(projected: Node) -> Node:
    split = ops.reshape(projected, [0, 0, HEADS, HIDDEN // HEADS], special_zero=True)
    return ops.transpose(split, [0, 2, 1, 3])


def _norm(hidden: Node, weights: dict[str, Array], name: str) -> Node:
    normed = ops.mvn(hidden, [-1], normalize_variance=True, eps=EPSILON, eps_mode="inside_sqrt")
    return ops.add(ops.multiply(normed, weights[f"{name}.weight"]), weights[f"{name}.bias"])


def _linear(inputs: Node, weights: dict[str, Array], name: str, quantised: bool, rows: slice = slice(None)) -> Node:  # noqa: FBT001 - a property of the graph
    matrix, bias = weights[f"{name}.weight"][rows], weights[f"{name}.bias"][rows]
    factor = _int8(matrix) if quantised else ops.constant(matrix)
    return ops.add(ops.matmul(inputs, factor, transpose_a=False, transpose_b=True), bias)


def _int8(matrix: Array) -> Node:
    """Return a matrix as 8-bit numbers with one scale for each output; OpenVINO's integer products need a zero point of 128."""
    scale = np.abs(matrix).max(axis=1, keepdims=True) / np.float32(127)
    numbers = (np.rint(matrix / scale) + 128).astype(np.uint8)
    zero = ops.convert(ops.constant(np.full((1, 1), 128, np.uint8)), Type.f32)
    return ops.multiply(ops.subtract(ops.convert(ops.constant(numbers), Type.f32), zero), ops.constant(scale))
