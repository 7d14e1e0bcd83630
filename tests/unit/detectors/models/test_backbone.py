"""Compiled MiniLM compared with MiniLM in torch, for each numeric type, and machines without support for a type."""

import pytest
import torch

from detectors.errors import UnsupportedError
from detectors.models import backbone, compute
from detectors.models.compute import Compute, best_precision
from detectors.models.minilm import encode_mean, load_minilm, pad
from detectors.registry import create_text
from stream import processor

#: Rows of token ids, several of each padded length, so that they share batches; most are padded.
LENGTHS = (4, 5, 6, 9, 17, 19, 21, 25, 40, 41, 43, 110, 118, 126)
ROWS = [[101, *range(2000 + 7 * count, 2000 + 20 * count, 13), 102] for count in LENGTHS]
#: Smallest cosine of a row's mean vector with that of torch in float32.
NEAR = {"float32": 0.999_999, "bfloat16": 0.9995, "int8": 0.99}


@pytest.fixture(scope="module")
def minilm():
    return load_minilm()


@pytest.mark.parametrize("precision", NEAR)
def test_a_compiled_model_agrees_with_torch_and_a_row_is_independent_of_its_batch(minilm, precision):
    if not compute._supports(precision):
        pytest.skip(f"this processor has no instructions for {precision}")
    model = backbone.compiled(minilm, Compute(precision=precision, threads=1))
    wanted, found = encode_mean(minilm, ROWS), encode_mean(model, ROWS)
    assert (wanted * found).sum(1).min() > NEAR[precision]
    alone = [encode_mean(model, [row])[0] for row in ROWS]
    assert max(abs(one - row).max() for one, row in zip(alone, found, strict=True)) == 0.0


def test_torch_on_a_device_equals_torch(minilm):
    ids, mask = pad(ROWS)
    model = backbone._OnDevice(load_minilm(), Compute(device="cpu"))
    with torch.inference_mode():
        assert torch.equal(model(ids, mask), minilm(ids, mask))


def test_a_numeric_type_is_a_part_of_the_version():
    plain = create_text("toxicity", {}).version
    assert create_text("toxicity", {"precision": "bfloat16"}).version == f"{plain}.bfloat16"
    assert create_text("toxicity", {"precision": "float32", "device": "cuda"}).version == plain


@pytest.mark.parametrize("flags", [frozenset(), frozenset({"avx2", "fma"})])
def test_a_machine_without_the_instructions_is_an_error(monkeypatch, flags):
    monkeypatch.setattr(compute, "processor_flags", lambda: flags)
    assert best_precision() == "float32"
    Compute().check()
    with pytest.raises(
        UnsupportedError, match="bfloat16, and this processor has none of amx_bf16, avx512_bf16: run score on"
    ):
        Compute(precision="bfloat16").check()
    detector = create_text("toxicity", {"precision": "int8"})
    with pytest.raises(UnsupportedError, match="avx512_vnni"):
        detector.load()


def test_the_best_numeric_type_follows_the_processor(monkeypatch):
    monkeypatch.setattr(compute, "processor_flags", lambda: frozenset({"avx512_bf16"}))
    assert best_precision() == "bfloat16"


def test_int8_on_a_gpu_and_a_missing_gpu_are_errors(minilm, monkeypatch):
    with pytest.raises(UnsupportedError, match="int8 and device is cuda"):
        Compute(precision="int8", device="cuda").check()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(UnsupportedError, match="torch finds no GPU"):
        backbone.compiled(minilm, Compute(device="cuda"))


def test_the_flags_of_a_processor_are_read_once_and_may_be_missing(monkeypatch, tmp_path):
    path = tmp_path / "cpuinfo"
    path.write_text("processor : 0\nflags : fpu avx512_bf16 sse\nprocessor : 1\nflags : fpu\n")
    for cpuinfo, flags in ((path, {"fpu", "avx512_bf16", "sse"}), (tmp_path / "missing", set())):
        monkeypatch.setattr(processor, "_CPUINFO", cpuinfo)
        processor.processor_flags.cache_clear()
        assert processor.processor_flags() == flags
    processor.processor_flags.cache_clear()
