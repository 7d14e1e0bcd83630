"""Encoding of a stream detector's snapshot: versioned, checksummed msgpack."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import msgspec

from detectors.base import StreamDetector
from detectors.errors import StateMismatch

StateT = TypeVar("StateT", bound=msgspec.Struct)


@contextmanager
def restoring(detector: StreamDetector[Any]) -> Iterator[None]:
    """Undo the changes to `detector` if the ``with`` block, which restores a decoded snapshot, fails.

    Raises StateMismatch if the block raises ValueError or KeyError, because parts of the snapshot then contradict each
    other.
    """
    kept = dict(detector.__dict__)
    try:
        yield
    except (ValueError, KeyError) as error:
        detector.__dict__.update(kept)
        raise StateMismatch(f"a snapshot of {detector.name} contradicts itself: {error}") from error


class _Envelope(msgspec.Struct, frozen=True, kw_only=True):
    """A snapshot, its origin and a BLAKE2b digest of ``body``, because msgpack does not detect a flipped bit."""

    detector: str
    version: str
    config: bytes
    digest: bytes
    body: bytes


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()


def _config(detector: StreamDetector[Any]) -> bytes:
    """Return a digest of the options on which the state depends."""
    unused = {name: getattr(detector.config_type(), name) for name in detector.stateless_options}
    return _digest(msgspec.msgpack.encode(msgspec.structs.replace(detector.config, **unused)))


def seal(detector: StreamDetector[Any], body: msgspec.Struct) -> bytes:
    """Encode a state with the detector's name, version and a hash of its configuration."""
    packed = msgspec.msgpack.encode(body)
    envelope = _Envelope(
        detector=detector.name,
        version=detector.version,
        config=_config(detector),
        digest=_digest(packed),
        body=packed,
    )
    return msgspec.msgpack.encode(envelope)


def unseal(detector: StreamDetector[Any], state: bytes, body_type: type[StateT]) -> StateT:
    """Decode a state that `seal` encoded for the same detector, version and configuration.

    Raises StateMismatch if the bytes are corrupt, or from another detector, version or configuration.
    """
    try:
        envelope = msgspec.msgpack.decode(state, type=_Envelope)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise StateMismatch(f"{len(state)} bytes are no snapshot of {detector.name}") from error
    expected = (detector.name, detector.version)
    found = (envelope.detector, envelope.version)
    if found != expected:
        raise StateMismatch(f"a snapshot of {' '.join(found)}, expected {' '.join(expected)}")
    if envelope.config != _config(detector):
        raise StateMismatch(f"a snapshot of {detector.name} with another configuration")
    if envelope.digest != _digest(envelope.body):
        raise StateMismatch(f"a snapshot of {detector.name} whose checksum does not match its content")
    try:
        return msgspec.msgpack.decode(envelope.body, type=body_type)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise StateMismatch(f"a snapshot of {detector.name} whose content cannot be read") from error
