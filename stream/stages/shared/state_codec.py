"""Encodes table values as msgpack; each value contains the version of its format."""

from collections.abc import Callable
from typing import TypeVar

import msgspec

from stream.errors import StateUnreadable

__all__ = ["decoder", "encode"]

StateT = TypeVar("StateT", bound=msgspec.Struct)

encode = msgspec.msgpack.encode


def decoder(kind: type[StateT]) -> Callable[[bytes], StateT]:
    """Return a decoder of table values of type `kind`, whose field `version`, if any, defaults to the present version.

    If the bytes cannot be decoded as `kind`, or have another version, the decoder raises StateUnreadable. The state is
    then rebuilt from the log.
    """
    packed = msgspec.msgpack.Decoder(kind)
    version = next((field.default for field in msgspec.structs.fields(kind) if field.name == "version"), None)

    def decode(value: bytes) -> StateT:
        try:
            state = packed.decode(value)
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            raise StateUnreadable(
                f"{kind.__name__} of {len(value)} bytes cannot be decoded: {error}; it is rebuilt from the log"
            ) from error
        found = getattr(state, "version", version)
        if found != version:
            raise StateUnreadable(
                f"{kind.__name__} has version {found}, expected {version}; it is rebuilt from the log"
            )
        return state

    return decode
