"""Limits of the frames in flight to Kafka, and intervals of the pipeline that sends a spool."""

import msgspec

__all__ = ["DeliveryLimits"]


class DeliveryLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Limits of the frames in flight (`window_frames`, `window_bytes`), and intervals of a pipeline.

    A spool without new frames is read every `poll_seconds`. The cursor is written every `save_seconds`; if the shipper
    is killed, the records since the last write are sent again. A producer without an acknowledgement for
    `stall_seconds` is replaced.
    """

    window_frames: int = 1024
    window_bytes: int = 8 * 1024 * 1024
    poll_seconds: float = 0.02
    save_seconds: float = 0.1
    stall_seconds: float = 40.0
