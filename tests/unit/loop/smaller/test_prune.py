"""Pruned versions: the removed layer, the remaining weights, and the distillation."""

import resource

import gguf
import pytest
import torch
from support.smaller_models import nothing, parent_of_file, prune_job, save_base

from stream.loop.smaller.plan import Pruning
from stream.loop.smaller.prune import drop_layers
from stream.loop.smaller.version import prune
from stream.loop.training.base_model import load_base
from stream.loop.training.errors import TrainingError
from stream.loop.training.job import VersionFolder
from stream.loop.training.signing import verify_version

IDS = torch.arange(2, 60).reshape(2, 29)


def logits(file):
    with torch.no_grad():
        return load_base(file)[0].eval()(IDS).logits


def test_the_layer_without_an_effect_is_removed_and_the_answers_are_unchanged(tmp_path):
    base = save_base(tmp_path, idle_layer=2)
    parent = parent_of_file(base)
    made = prune(tmp_path, parent, Pruning(layers=1, job=prune_job(parent, max_steps=2)), nothing)
    assert verify_version(tmp_path, made.version) == made
    assert made.smaller.removed_layers == (2,)
    assert (made.job.method, made.job.parent, made.numbers["step"]) == ("prune", "base", 2)
    merged = VersionFolder.of(tmp_path, made.version).merged
    assert load_base(merged)[0].config.num_hidden_layers == 3
    assert made.numbers["loss_before"] < 1e-4
    assert torch.allclose(logits(merged), logits(base), atol=0.2)


def test_the_distillation_makes_the_answers_more_similar_to_those_of_the_whole_model(tmp_path):
    base = save_base(tmp_path)
    parent = parent_of_file(base)
    steps = []
    job = prune_job(parent, max_steps=60)
    made = prune(tmp_path, parent, Pruning(layers=2, job=job), lambda what, done, _total: steps.append((what, done)))
    assert made.numbers["loss"] < 0.7 * made.numbers["loss_before"]
    assert [done for what, done in steps if what == "distilling"] == list(range(1, 61))
    removed = tmp_path / "removed.gguf"
    drop_layers(base, removed, made.smaller.removed_layers)
    merged = VersionFolder.of(tmp_path, made.version).merged
    assert not torch.allclose(logits(merged), logits(removed), atol=0.1)  # the adapter is merged into the weights
    card = VersionFolder.of(tmp_path, made.version).card.read_text()
    assert made.smaller.text_digest in card
    assert "60 of 60 steps" in card
    assert f"was {made.numbers['loss_before']:.3f} nats per token in the first step" in card


@pytest.mark.parametrize("layers", [-1, 0, 4, 9])
def test_a_number_of_layers_that_is_out_of_range_is_an_error(tmp_path, layers):
    parent = parent_of_file(save_base(tmp_path))
    with pytest.raises(TrainingError, match=rf"--layers is {layers}; the model has 4 layers, so give 1 to 3"):
        prune(tmp_path / "home", parent, Pruning(layers=layers, job=prune_job(parent)), nothing)
    assert list((tmp_path / "home" / "loop" / "models").iterdir()) == []


def without_metadata(base, target, prefix):
    """Copy the GGUF file `base` without the metadata whose names begin with `prefix`."""
    source, writer = gguf.GGUFReader(base), gguf.GGUFWriter(target, "llama")
    for name, field in source.fields.items():
        if not name.startswith(("GGUF.", "general.architecture", prefix)):
            element = field.types[-1] if field.types[0] == gguf.GGUFValueType.ARRAY else None
            writer.add_key_value(name, field.contents(), field.types[0], element)
    for tensor in source.tensors:
        writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return target


@pytest.mark.parametrize(
    ("missing", "expected"),
    [
        ("tokenizer.", r"cannot load the model or the tokenizer of .*less\.gguf"),
        ("llama.block_count", "no llama.block"),
    ],
)
def test_a_file_without_tokenizer_or_number_of_layers_is_an_error(tmp_path, missing, expected):
    parent = parent_of_file(without_metadata(save_base(tmp_path), tmp_path / "less.gguf", missing))
    with pytest.raises(TrainingError, match=expected):
        prune(tmp_path / "home", parent, Pruning(layers=1, job=prune_job(parent)), nothing)
    assert list((tmp_path / "home" / "loop" / "models").iterdir()) == []


def test_a_disk_that_is_full_after_the_distillation_is_an_error_that_names_the_space(tmp_path):
    base = save_base(tmp_path)
    job = prune_job(parent_of_file(base), rank=64, max_steps=1)  # the adapter is twice as large as the base
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (3 * base.stat().st_size // 2, before[1]))
    try:
        with pytest.raises(TrainingError, match=r"cannot be written to .* MiB are free.*run the command again"):
            prune(tmp_path / "home", parent_of_file(base), Pruning(layers=1, job=job), nothing)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list((tmp_path / "home" / "loop" / "models").iterdir()) == []


def test_a_process_that_needs_too_much_memory_is_an_error(tmp_path):
    parent = parent_of_file(save_base(tmp_path))
    job = prune_job(parent, memory_bytes=1 << 20)
    with pytest.raises(TrainingError, match=r"the limit is 1 MiB; raise \[train\] memory_mib"):
        prune(tmp_path / "home", parent, Pruning(layers=1, job=job), nothing)
    assert list((tmp_path / "home" / "loop" / "models").iterdir()) == []


def test_a_distillation_that_diverges_is_an_error(tmp_path):
    parent = parent_of_file(save_base(tmp_path))
    job = prune_job(parent, learning_rate=1e30)
    with pytest.raises(TrainingError, match="lower --learning-rate"):
        prune(tmp_path / "home", parent, Pruning(layers=1, job=job), nothing)
    assert list((tmp_path / "home" / "loop" / "models").iterdir()) == []
