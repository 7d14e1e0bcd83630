import os

import gguf
import numpy as np
import pytest

from serving.engine.errors import ModelInvalidError
from serving.engine.gguf_file import context_length, find_gguf, is_readable, rewrite_as_f16, writable_file


@pytest.fixture
def quantised(tmp_path):
    """A GGUF file with two quantised weights and a vector."""
    file = tmp_path / "q.gguf"
    writer = gguf.GGUFWriter(file, "llama")
    writer.add_context_length(777)
    writer.add_file_type(gguf.LlamaFileType.MOSTLY_Q4_1)
    writer.add_token_list(["naïve", "日本"])
    writer.add_token_types([1, 3])
    values = np.random.default_rng(0).normal(size=(4, 64)).astype(np.float32)
    for kind in (gguf.GGMLQuantizationType.Q4_1, gguf.GGMLQuantizationType.Q8_0):
        writer.add_tensor(kind.name, gguf.quants.quantize(values, kind), raw_dtype=kind)
    writer.add_tensor("norm", values[0])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return file


def test_the_copy_has_the_dequantised_weights_in_f16_and_all_keys(quantised, tmp_path):
    shares = []
    rewrite_as_f16(quantised, tmp_path / "f16.gguf", lambda _what, share: shares.append(share))
    before, after = gguf.GGUFReader(quantised), gguf.GGUFReader(tmp_path / "f16.gguf")
    assert shares == sorted(shares)
    assert (shares[0], shares[-1]) == (0.0, 1.0)
    kept = {name for name in before.fields if not name.startswith("GGUF.")} - {"general.file_type"}
    assert {name: after.fields[name].contents() for name in kept} == {
        name: before.fields[name].contents() for name in kept
    }
    assert after.fields["general.file_type"].contents() == gguf.LlamaFileType.MOSTLY_F16
    for old, new in zip(before.tensors, after.tensors, strict=True):
        assert (new.name, new.tensor_type.name) == (old.name, "F32" if old.name == "norm" else "F16")
        wanted = gguf.quants.dequantize(old.data, old.tensor_type)
        assert np.array_equal(new.data, wanted if old.name == "norm" else wanted.astype(np.float16))


def test_the_context_length_is_in_the_header(quantised, tmp_path):
    assert context_length(quantised) == 777
    for content in (b"GGUF" + bytes(100), b"GGUF llama.context_length" + bytes(7)):
        (tmp_path / "other.gguf").write_bytes(content)
        with pytest.raises(ModelInvalidError, match=r"other\.gguf has no context length"):
            context_length(tmp_path / "other.gguf")


def test_openvino_ir_has_its_context_length_in_the_configuration(tmp_path):
    assert not is_readable(tmp_path)
    (tmp_path / "openvino_model.xml").touch()
    assert is_readable(tmp_path)
    with pytest.raises(ModelInvalidError, match="export the model again"):
        context_length(tmp_path)
    (tmp_path / "config.json").write_text('{"max_position_embeddings": 99}')
    assert context_length(tmp_path) == 99


@pytest.mark.parametrize(
    "content",
    ["[]", "7", '{"text_config": 7}', '{"max_position_embeddings": [9]}', '{"max_position_embeddings": 1e999}'],
)
def test_a_damaged_configuration_of_openvino_ir_is_an_error(tmp_path, content):
    (tmp_path / "openvino_model.xml").touch()
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(ModelInvalidError, match="export the model again"):
        context_length(tmp_path)


def test_a_directory_with_one_gguf_file_is_a_model(quantised, tmp_path):
    assert find_gguf(tmp_path) == find_gguf(quantised) == quantised
    (tmp_path / "mmproj-F16.gguf").touch()
    assert find_gguf(tmp_path) == quantised
    (tmp_path / "second.gguf").touch()
    assert find_gguf(tmp_path) is None


def test_a_directory_with_safetensors_is_no_gguf_model(quantised, tmp_path):
    (tmp_path / "config.json").touch()
    assert find_gguf(tmp_path) == quantised
    (tmp_path / "model.safetensors").touch()
    assert find_gguf(tmp_path) is None
    assert not is_readable(tmp_path)
    assert find_gguf(quantised) == quantised


def test_a_writable_file_is_opened_directly(quantised):
    with writable_file(quantised) as file:
        assert file == quantised


def test_a_file_on_a_read_only_volume_is_copied_while_it_is_open(quantised, monkeypatch):
    monkeypatch.setattr(
        os, "access", lambda path, mode: mode != os.W_OK
    )  # patched, because root can write all files that are not on a read-only volume
    with writable_file(quantised) as file:
        assert file != quantised
        assert file.read_bytes() == quantised.read_bytes()
    assert not file.parent.exists()
