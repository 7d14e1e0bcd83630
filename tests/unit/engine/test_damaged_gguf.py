import struct

import pytest

from serving.engine.errors import ModelInvalidError
from serving.engine.fetch_model import ensure
from serving.engine.gguf_file import check_whole

_HEADER = struct.Struct("<4sIQQ")


@pytest.fixture
def damaged(tiny_gguf, tmp_path):
    """Return a function that writes a changed copy of the tiny model and returns the file."""

    def write(change):
        file = tmp_path / "damaged.gguf"
        file.write_bytes(change(tiny_gguf.read_bytes()))
        return file

    return write


@pytest.mark.parametrize("inside", [False, True])
def test_a_truncated_model_is_an_error(damaged, tiny_gguf, inside):
    whole = tiny_gguf.stat().st_size
    file = damaged(lambda data: data[: whole // 2])
    with pytest.raises(
        ModelInvalidError, match=rf"damaged\.gguf \({whole // 2:,} bytes\) is incomplete or damaged \(.*\): copy"
    ):
        ensure(str(file.parent if inside else file))


@pytest.mark.parametrize("size", [0, 3, 23, 30, 200, 5_000])
def test_a_file_that_ends_in_its_header_is_an_error(damaged, size):
    with pytest.raises(ModelInvalidError, match=rf"\({size:,} bytes\) is incomplete or damaged"):
        ensure(str(damaged(lambda data: data[:size])))


@pytest.mark.parametrize("count", [255, 2**64 - 1])
def test_a_damaged_count_is_an_error(damaged, count):
    for tensors, keys in ((count, 1), (1, count), (count, count)):
        with pytest.raises(ModelInvalidError, match="incomplete or damaged"):
            check_whole(damaged(lambda data, head=(b"GGUF", 3, tensors, keys): _HEADER.pack(*head) + data[24:]))
