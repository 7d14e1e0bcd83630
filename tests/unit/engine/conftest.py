from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from serving.engine.batching_loop import Loop
from serving.engine.fetch_model import ensure
from serving.engine.kv_cache import Room
from serving.engine.llama import LlamaModel
from serving.engine.llama_config import LlamaConfig, end_tokens, read_config
from serving.engine.tokenizer import DirectoryCodec
from serving.settings import ModelSettings
from tests.support.tiny_llama import save_tiny_llama


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    # Models this small lose more to handing work between threads than they gain, above all on a busy machine.
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tiny_dir(tmp_path_factory) -> Path:
    return save_tiny_llama(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="session")
def tiny_reference(tiny_dir):
    return AutoModelForCausalLM.from_pretrained(tiny_dir, dtype=torch.float32)


@pytest.fixture(scope="session")
def load_llama():
    def load(directory: Path, slots: int = 4) -> LlamaModel:
        config = LlamaConfig.of(read_config(directory))
        limit = config.max_position_embeddings
        room = Room(slots=slots, limit=limit, dtype=torch.float32, device=torch.device("cpu"))
        return LlamaModel(directory, config, room)

    return load


@pytest.fixture
def make_loop(tiny_dir, load_llama):
    def make(slots: int = 4) -> Loop:
        ends = end_tokens(tiny_dir, read_config(tiny_dir))
        return Loop(load_llama(tiny_dir, slots), DirectoryCodec(tiny_dir), ends, slots)

    return make


@pytest.fixture(scope="session")
def smollm_files():
    return ensure(ModelSettings().name)
