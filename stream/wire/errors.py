"""Errors of the wire contract; :mod:`stream.errors` draws the whole tree."""

__all__ = ["DecodeError", "SchemaError", "StreamError", "WireError"]


class StreamError(Exception):
    """Base of every error that the stream package raises on purpose."""


class WireError(StreamError):
    """A record cannot be read or written as an event of the contract."""

    disposition = "decode"


class DecodeError(WireError):
    """Key, headers or bytes are not a CloudEvent in Kafka binary mode (or not of a type that Weir knows)."""


class SchemaError(WireError):
    """The type is known, but the data does not fit its schema."""

    disposition = "schema"
