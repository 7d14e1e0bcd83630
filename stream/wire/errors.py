"""Errors of the event contract, and the base of all errors of the stream package."""


class StreamError(Exception):
    """Base of the errors of the stream package."""


class WireError(StreamError):
    """A record cannot be read or written as an event of the contract."""

    disposition = "decode"


class DecodeError(WireError):
    """The record is no CloudEvent in Kafka's binary mode, or its event type is unknown."""


class SchemaError(WireError):
    """The data does not fit the schema of its type."""

    disposition = "schema"
