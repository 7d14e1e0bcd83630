"""The settings of a lab's processes, and the options by which labs differ."""

from pathlib import Path
from typing import Any

import msgspec

P, Q = 4, 2
CONFIG = Path(__file__).with_name("weir.toml")


class WorldOptions(msgspec.Struct, frozen=True, kw_only=True):
    """The options of a lab.

    `rate` is the requests per second of each source, `slow_share` the share of prompts that keep a model process busy. `settings` are
    environment variables of the product's processes, `capture` the settings of the sources' recorders. `disk_of` is a folder of the home
    on a small disk, `second` the components that run twice, `broker` whether the broker starts first.
    """

    seed: int = 7
    sources: int = 2
    rate: float = 20.0
    slow_share: float = 0.02
    mutation: str = ""
    settings: dict[str, str] = {}
    max_message_bytes: int = 2 * 1024 * 1024
    capture: dict[str, Any] = {}
    second: tuple[str, ...] = ()
    disk_mb: int = 0
    disk_of: str = ""
    broker: bool = True
