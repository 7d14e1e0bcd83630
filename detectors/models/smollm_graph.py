"""`detectors.models.smollm.SmolLM` compiled by OpenVINO: five times as fast as in torch, and a row's vectors do not depend on other rows.

The matrices and word vectors are integers of 8 bits with a scale for each row, which need a quarter of the memory. Sums are float32.
"""

from collections.abc import Callable

import numpy as np
import openvino
import torch
from openvino import PartialShape, Type
from openvino import opset15 as ops
from torch import Tensor, nn

from detectors.models.backbone import Node, compile_graph
from detectors.models.smollm import EPSILON, HEADS, HIDDEN, KEYS, LAYERS, WIDTH, rotations

#: Maximum number of tokens of a row.
LONGEST = 512


class CompiledSmolLM(nn.Module):
    """SmolLM's layers on a CPU; ``forward`` is that of `SmolLM`, for at most `LONGEST` tokens.

    ``read`` returns a parameter of `SmolLM` by its name. One parameter at a time is in memory in float32.
    """

    def __init__(self, read: Callable[[str], Tensor], threads: int = 0) -> None:
        super().__init__()
        # With int8, the token vectors would be rounded to 8 bits too.
        self._request = compile_graph(_graph(read), "float32", threads)

    def forward(self, ids: Tensor) -> Tensor:
        """Return the token vectors, (n, length, 576), of token ids, (n, length)."""
        return torch.from_numpy(self._request.infer([ids.to(torch.int32).numpy()])[0])


def _graph(read: Callable[[str], Tensor]) -> openvino.Model:
    ids = ops.parameter(PartialShape([-1, -1]), Type.i32, "ids")
    length = ops.gather(ops.shape_of(ids, "i64"), [1], 0)
    turns = [ops.slice(ops.constant(table.numpy()), [0], length, [1], [0]) for table in rotations(LONGEST)]
    words, scales = _quantized(read("words.weight"))
    hidden = ops.multiply(ops.convert(ops.gather(words, ids, 0), "f32"), ops.gather(scales, ids, 0))
    for number in range(LAYERS):

        def linear(inputs: Node, name: str, layer: str = f"layers.{number}") -> Node:
            integers, scales = _quantized(read(f"{layer}.{name}.weight"))
            return ops.matmul(inputs, ops.multiply(ops.convert(integers, "f32"), scales), False, True)

        def norm(inputs: Node, name: str, layer: str = f"layers.{number}") -> Node:
            mean = ops.reduce_mean(ops.multiply(inputs, inputs), [-1], keep_dims=True)
            scaled = ops.divide(inputs, ops.sqrt(ops.add(mean, np.float32(EPSILON))))
            return ops.multiply(scaled, ops.constant(read(f"{layer}.{name}.weight").numpy()))

        split = ops.reshape(linear(norm(hidden, "norm_attention"), "qkv"), [0, 0, HEADS + 2 * KEYS, WIDTH], True)
        query, key, value = ops.variadic_split(ops.transpose(split, [0, 2, 1, 3]), 1, [HEADS, KEYS, KEYS]).outputs()
        shared = [head // (HEADS // KEYS) for head in range(HEADS)]
        key, value = (ops.gather(part, shared, 1) for part in (_rotated(key, turns), value))
        attended = ops.scaled_dot_product_attention(_rotated(query, turns), key, value, causal=True)
        joined = ops.reshape(ops.transpose(attended, [0, 2, 1, 3]), [0, 0, HIDDEN], True)
        hidden = ops.add(hidden, linear(joined, "out"))
        gate, up = ops.split(linear(norm(hidden, "norm_inner"), "inner"), -1, 2).outputs()
        hidden = ops.add(hidden, linear(ops.multiply(ops.swish(gate), up), "outer"))
    return openvino.Model([hidden], [ids], "smollm")


def _quantized(matrix: Tensor) -> tuple[Node, Node]:
    """Return the integers, -127 to 127, whose products with the scales, (rows, 1), are nearest to ``matrix``, (rows, columns)."""
    lowest, highest = matrix.aminmax(dim=1, keepdim=True)
    scales = torch.maximum(highest, -lowest) / 127
    integers = (matrix / scales.clamp(min=1e-30)).round_().to(torch.int8)
    return ops.constant(integers.numpy()), ops.constant(scales.numpy())


def _rotated(heads: Node, turns: list[Node]) -> Node:
    first, second = ops.split(heads, -1, 2).outputs()
    turned = ops.concat([ops.negative(second), first], -1)
    return ops.add(ops.multiply(heads, turns[0]), ops.multiply(turned, turns[1]))
