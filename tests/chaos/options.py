"""How a lab is set up: the settings of the product's processes, and how one lab differs from another."""

import tomllib
from typing import Any

import msgspec

__all__ = ["CONFIG", "P", "Q", "WorldOptions"]

P, Q = 4, 2
_TENANTS = """
bucket_seconds = 2
[tenants."*".drift]
reference_events = 40
alarm_every_events = 1000
[tenants."*".anomaly]
reference_events = 100
alarm_every_events = 2000
[tenants."*".alerts]
resolve_after_seconds = 8
update_seconds = 2
[tenants."*".retraining]
windows = 2
events = 40
cool_down_seconds = 60
"""
#: What a lab's processes are set to, beside where they are; short windows, so that a round of a minute closes many.
CONFIG = f"""
[mlflow]
enabled = false
[detectors]
input = ["pii", "toxicity"]
output = ["pii", "toxicity"]
[score]
batch_events = 8
workers = 2
deadline_seconds = 20
[tenants."*"]
{_TENANTS}"""


class WorldOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How a lab differs from the usual one.

    Parameters
    ----------
    seed
        Of the traffic.
    sources, rate, slow_share
        How many, requests a second of each, and the share of prompts that keep a model process busy.
    mutation
        Of :data:`chaos.mutations.MUTATIONS`, or "".
    settings
        Environment of the product's processes, over the lab's configuration.
    max_message_bytes
        Of the broker.
    disk_of, disk_mb
        A folder of the home that lies on a small disk of its own, and how large that is.
    capture
        Settings of the sources' recorders.
    second
        Names of components that run twice.
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

    def values(self) -> dict[str, Any]:
        """Return the lab's configuration with `settings` over it: the oracle judges by what the processes are set to."""
        values = tomllib.loads(CONFIG)
        for name, value in self.settings.items():
            section, key = name.removeprefix("WEIR_").lower().split("__")
            values.setdefault(section, {})[key] = value
        return values
