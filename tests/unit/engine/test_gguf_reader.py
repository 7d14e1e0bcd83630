import threading

import gguf
import numpy as np
from transformers import AutoConfig, AutoTokenizer

from stream.gguf_files import GGUFReader, read_once


def test_the_reader_reads_what_gguf_reads(smollm_files):
    file = smollm_files.path / "model.gguf"
    ours, theirs = GGUFReader(file), gguf.GGUFReader(file)
    assert {name: field.contents() for name, field in ours.fields.items()} == {
        name: field.contents() for name, field in theirs.fields.items()
    }
    assert [(tensor.name, tensor.tensor_type) for tensor in ours.tensors] == [
        (tensor.name, tensor.tensor_type) for tensor in theirs.tensors
    ]
    assert all(np.array_equal(one.data, other.data) for one, other in zip(ours.tensors, theirs.tensors, strict=True))


def test_transformers_reads_a_file_once_in_the_body(tiny_gguf, monkeypatch):
    opened = []
    read = gguf.GGUFReader.__init__
    monkeypatch.setattr(gguf.GGUFReader, "__init__", lambda reader, file: (opened.append(file), read(reader, file))[1])
    before = gguf.GGUFReader
    with read_once():
        config = AutoConfig.from_pretrained(tiny_gguf.parent, gguf_file=tiny_gguf.name)
        tokenizer = AutoTokenizer.from_pretrained(tiny_gguf.parent, gguf_file=tiny_gguf.name)
    assert (len(opened), gguf.GGUFReader) == (1, before)
    assert config.vocab_size >= len(tokenizer)


def test_two_threads_leave_gguf_as_it_was():
    before, inside, leave = gguf.GGUFReader, threading.Event(), threading.Event()

    def other():
        with read_once():
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=other)
    with read_once():
        thread.start()
        inside.wait(0.2)
    leave.set()
    thread.join()
    assert gguf.GGUFReader is before
