"""Encodes table values as msgpack; each value contains the version of its format. Large values are compressed with zstd."""

from collections.abc import Callable
from functools import reduce
from operator import or_
from typing import TypeVar

import cramjam
import msgspec

from stream.errors import StateUnreadable

StateT = TypeVar("StateT", bound=msgspec.Struct)

#: A larger value is compressed: it must fit into one record of Kafka (1 MiB), and the sources of 300 gateways on 48 partitions are 1.4 MB.
_LARGE_BYTES = 256 * 1024
#: The first bytes of a zstd frame; no struct in msgpack begins with them.
_COMPRESSED = b"\x28\xb5\x2f\xfd"


def encode(state: msgspec.Struct) -> bytes:
    """Return the table value of `state`."""
    value = msgspec.msgpack.encode(state)
    return value if len(value) <= _LARGE_BYTES else bytes(cramjam.zstd.compress(value))


def decoder(*kinds: type[StateT]) -> Callable[[bytes], StateT]:
    """Return a decoder of table values of the types `kinds`; several types need tags.

    The default of the field `version`, if there is one, is the present version. If the bytes cannot be decoded, or have
    another version, the decoder raises StateUnreadable. The state is then rebuilt from the log.
    """
    packed: msgspec.msgpack.Decoder[StateT] = msgspec.msgpack.Decoder(reduce(or_, kinds))
    version = next((field.default for field in msgspec.structs.fields(kinds[0]) if field.name == "version"), None)
    name = " or ".join(kind.__name__ for kind in kinds)

    def decode(value: bytes) -> StateT:
        try:
            state = packed.decode(cramjam.zstd.decompress(value) if value.startswith(_COMPRESSED) else value)
        except (msgspec.MsgspecError, UnicodeDecodeError, cramjam.DecompressionError) as error:
            raise StateUnreadable(
                f"{name} of {len(value)} bytes cannot be decoded: {error}; it is rebuilt from the log"
            ) from error
        found = getattr(state, "version", version)
        if found != version:
            raise StateUnreadable(f"{name} has version {found}, expected {version}; it is rebuilt from the log")
        return state

    return decode


class _Order(msgspec.Struct, kw_only=True):
    offset: int


_order = decoder(_Order)


def offset_order(_key: bytes, value: bytes) -> float:
    """Return the offset of a state's last change, for the comparison of two states. Raises StateUnreadable."""
    return _order(value).offset
