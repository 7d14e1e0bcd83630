import pytest
import torch
from transformers import AutoModelForCausalLM

from serving.engine.errors import ModelInvalidError
from serving.engine.linear import can_pack, make_linear
from serving.engine.llama import Segment
from serving.engine.llama_config import LlamaConfig, end_tokens, read_config, unsupported
from tests.support.tiny_llama import save_tiny_llama

_LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
_VARIANTS = {
    "plain": {},
    "tied": {"tie_word_embeddings": True},
    "one kv head": {"num_key_value_heads": 1},
    "no grouping": {"num_key_value_heads": 6},
    "biases": {"attention_bias": True, "mlp_bias": True},
    "linear rope": {"rope_parameters": {"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0}},
    "llama3 rope": {"rope_parameters": _LLAMA3},
    "sharded": {"shards": True},
}


@pytest.mark.parametrize("variant", _VARIANTS)
def test_logits_equal_those_of_transformers_whatever_the_pieces(tmp_path, load_llama, variant):
    directory = save_tiny_llama(tmp_path, **_VARIANTS[variant])
    reference = AutoModelForCausalLM.from_pretrained(directory, dtype=torch.float32)
    if variant == "biases":
        assert "model.layers.0.mlp.down_proj.bias" in reference.state_dict()
    tokens = torch.randint(0, 256, (150,), generator=torch.Generator().manual_seed(1)).tolist()
    with torch.inference_mode():
        expected = reference(torch.tensor([tokens])).logits[0]
    model = load_llama(directory)
    model.cache.reserve(len(tokens), 0)
    start = 0
    for size in (64, 1, 50):
        piece = Segment(slot=0, start=start, tokens=tokens[start : start + size], last=True)
        logits = model.forward([], [], [piece])
        start += size
        torch.testing.assert_close(logits[0], expected[start - 1], rtol=1e-4, atol=1e-4)
    for at in range(start, len(tokens)):
        logits = model.forward([tokens[at]], [at], [])
        torch.testing.assert_close(logits[0], expected[at], rtol=1e-4, atol=1e-4)


def test_a_growing_cache_keeps_what_it_holds(tiny_dir, load_llama):
    model = load_llama(tiny_dir)
    first = model.cache.length
    tokens = list(range(60))
    model.forward([], [], [Segment(slot=0, start=0, tokens=tokens, last=True)])
    held = model.cache.keys[:, 0, :, :60].clone()
    model.cache.reserve(first + 1, 1)
    assert model.cache.length == 2 * first
    assert torch.equal(model.cache.keys[:, 0, :, :60], held)
    model.cache.reserve(model.config.max_position_embeddings, 1)
    assert model.cache.length == model.config.max_position_embeddings
    model.cache.shrink()
    assert model.cache.length == first


def test_packed_weights_give_what_plain_ones_give():
    assert can_pack(torch.float32)
    torch.manual_seed(0)
    weight, bias = torch.randn(48, 32), torch.randn(48)
    for rows in (1, 8, 72):
        x = torch.randn(rows, 32)
        torch.testing.assert_close(make_linear(weight, bias, rows=8)(x), torch.nn.functional.linear(x, weight, bias))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"model_type": "qwen2"}, "qwen2"),
        ({"hidden_act": "gelu"}, "gelu"),
        ({"quantization_config": {"bits": 4}}, "quantised"),
        ({"rope_parameters": {"rope_type": "yarn", "rope_theta": 1.0}}, "yarn"),
    ],
)
def test_other_models_are_said_to_be_unsupported(tiny_dir, change, reason):
    config = read_config(tiny_dir)
    assert unsupported(config) is None
    assert reason in unsupported({**config, **change})


def test_a_configuration_of_transformers_4_is_understood():
    config = LlamaConfig.of(
        {
            "hidden_size": 64,
            "intermediate_size": 128,
            "num_hidden_layers": 1,
            "num_attention_heads": 4,
            "vocab_size": 10,
            "max_position_embeddings": 100,
            "rms_norm_eps": 1e-5,
            "rope_theta": 5e5,
            "rope_scaling": None,
        }
    )
    assert (config.head_dim, config.num_key_value_heads, config.tied) == (16, 4, False)
    assert config.rope == {"rope_theta": 5e5, "rope_type": "default"}


def test_end_tokens_come_from_both_configurations(tmp_path):
    (tmp_path / "generation_config.json").write_text('{"eos_token_id": [7, 8]}')
    assert end_tokens(tmp_path, {"eos_token_id": 2}) == {2, 7, 8}
    assert end_tokens(tmp_path / "none", {"eos_token_id": None}) == set()


def test_a_missing_weight_is_named(tmp_path, load_llama):
    directory = save_tiny_llama(tmp_path, shards=True)
    shards = sorted(directory.glob("*.safetensors"))
    assert len(shards) > 1
    shards[0].unlink()
    with pytest.raises(ModelInvalidError, match=r"has no weight .*fetch the model again"):
        load_llama(directory)
