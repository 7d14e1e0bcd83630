"""Quantised versions: types, sizes, errors, and no incomplete files."""

import resource
import stat

import gguf
import msgspec
import numpy as np
import pytest
from support.smaller_models import nothing, parent_of_file, save_base
from support.tiny_gguf import save_tiny_gguf

from stream.files import file_digest
from stream.loop.smaller.quantise import write_quantised
from stream.loop.smaller.version import quantise
from stream.loop.training.errors import TrainingError
from stream.loop.training.job import VersionFolder
from stream.loop.training.signing import verify_version

KINDS = gguf.GGMLQuantizationType


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return save_base(tmp_path_factory.mktemp("base"))


def tensors(file):
    return {one.name: one for one in gguf.GGUFReader(file).tensors}


@pytest.mark.parametrize(("precision", "kind", "error"), [("int8", KINDS.Q8_0, 0.01), ("int4", KINDS.Q4_1, 0.1)])
def test_matrices_are_quantised_with_a_small_error(base, tmp_path, precision, kind, error):
    target = tmp_path / "small.gguf"
    seen = []
    write_quantised(base, target, precision, lambda what, done, total: seen.append((what, done, total)))
    before, after = tensors(base), tensors(target)
    assert before.keys() == after.keys()
    assert seen[-1] == ("quantising", len(before), len(before))
    for name, tensor in after.items():
        whole = gguf.quants.dequantize(before[name].data, before[name].tensor_type)
        made = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        if whole.ndim == 1:
            assert (tensor.tensor_type, made.tolist()) == (KINDS.F32, whole.tolist())
            continue
        assert tensor.tensor_type == (KINDS.Q8_0 if name in ("token_embd.weight", "output.weight") else kind)
        assert np.abs(made - whole).mean() < error * np.abs(whole).mean()
    assert target.stat().st_size < base.stat().st_size


def test_the_same_weights_for_another_owner_are_an_error_and_the_version_is_kept(base, tmp_path):
    parent = parent_of_file(base)
    made = quantise(tmp_path, parent, "int8", nothing)
    with pytest.raises(TrainingError, match=f"version {made.version} of {parent.tenant} / {parent.model}"):
        quantise(tmp_path, msgspec.structs.replace(parent, tenant="beta"), "int8", nothing)
    assert verify_version(tmp_path, made.version) == made


def test_a_version_has_the_layout_of_a_trained_version_and_is_created_once(base, tmp_path):
    made = quantise(tmp_path, parent_of_file(base), "int8", nothing)
    folder = VersionFolder.of(tmp_path, made.version)
    assert verify_version(tmp_path, made.version) == made
    assert made.version == f"m_{file_digest(folder.merged)[:12]}"
    assert (made.job.parent, made.job.method, made.job.dataset_digest) == ("base", "int8", "")
    assert made.smaller.source_digest == file_digest(base)
    assert set(made.files) == {"card.md", "model.gguf"}
    for named in ("weights in int8", made.weights_digest, file_digest(base)):
        assert named in folder.card.read_text()
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.path.iterdir()} == {0o600}
    signature = folder.signature.read_bytes()
    assert quantise(tmp_path, parent_of_file(base), "int8", nothing) == made
    assert folder.signature.read_bytes() == signature
    assert [path.name for path in folder.path.parent.iterdir()] == [made.version]


@pytest.mark.parametrize("name", ["model.gguf", "card.md", "manifest.json"])
def test_the_verification_of_a_changed_file_fails(base, tmp_path, name):
    made = quantise(tmp_path, parent_of_file(base), "int8", nothing)
    path = VersionFolder.of(tmp_path, made.version).path / name
    path.write_bytes(path.read_bytes().replace(b"a", b"b", 1))
    with pytest.raises(TrainingError, match=r"signature|damaged"):
        verify_version(tmp_path, made.version)


def test_the_verification_fails_if_an_adapter_is_beside_the_weights(base, tmp_path):
    made = quantise(tmp_path, parent_of_file(base), "int8", nothing)
    folder = VersionFolder.of(tmp_path, made.version)
    folder.adapter.mkdir()
    folder.weights.write_bytes(b"")
    with pytest.raises(TrainingError, match=r"adapter_model\.safetensors"):
        verify_version(tmp_path, made.version)


def refused(home, file, precision, expected):
    with pytest.raises(TrainingError, match=expected):
        quantise(home, parent_of_file(file), precision, nothing)
    assert list((home / "loop" / "models").glob("*")) == []
    assert list((home / "loop" / "models").glob(".*")) == []


def test_an_unknown_precision_is_an_error(base, tmp_path):
    refused(tmp_path, base, "int3", "precision is 'int3'; choose one of int8, int4")


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_a_truncated_file_is_an_error(base, tmp_path, share):
    cut = tmp_path / "cut.gguf"
    whole = base.read_bytes()
    cut.write_bytes(whole[: int(share * len(whole))])
    refused(tmp_path / "home", cut, "int8", "is damaged or no GGUF file")


def test_a_model_with_fewer_bits_than_the_target_is_an_error(base, tmp_path):
    small = tmp_path / "small.gguf"
    write_quantised(base, small, "int4", nothing)
    refused(tmp_path / "home", small, "int8", "has 5 bits a weight, and int8 has 8.5")


def test_a_model_whose_rows_are_no_multiple_of_a_block_is_an_error(tmp_path):
    odd = save_tiny_gguf(tmp_path / "odd", intermediate_size=100)
    refused(tmp_path / "home", odd, "int8", "no matrix whose rows are a multiple of 32")


@pytest.fixture
def full_disk(base):
    """Make writes fail beyond a quarter of the size of the base, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (base.stat().st_size // 4, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.usefixtures("full_disk")
def test_a_full_disk_is_an_error_that_names_the_free_space_and_leaves_no_file(base, tmp_path):
    with pytest.raises(TrainingError, match=r"cannot be written to .* MiB are free") as raised:
        quantise(tmp_path, parent_of_file(base), "int8", nothing)
    assert "free space and run the command again" in str(raised.value)
    assert list((tmp_path / "loop" / "models").iterdir()) == []
