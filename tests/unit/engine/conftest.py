from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from serving.engine.fetch_model import ensure
from serving.settings import ModelSettings
from tests.support.tiny_gguf import save_tiny_gguf
from tests.support.tiny_llama import save_tiny_llama


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    # With models this small, several threads are slower than one, most of all on a busy machine.
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
def tiny_gguf(tmp_path_factory) -> Path:
    return save_tiny_gguf(tmp_path_factory.mktemp("tiny_gguf"))


@pytest.fixture(scope="session")
def smollm_files():
    return ensure(ModelSettings().name, source="wheel")
