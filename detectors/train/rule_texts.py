"""Requests that only the rule of a system prompt would forbid; the scenarios are in ``texts/rules.toml``."""

import random

from detectors.train.templates import of_scenarios, read_source, varied

__all__ = ["asked"]


def asked(rng: random.Random, split: str) -> str:
    """Return a request that is harmless without the rule of its scenario."""
    source = read_source("rules")
    scenario = rng.choice([one for one in of_scenarios(source.scenarios, split) if one.kind == "topic"])
    fine = [*scenario.fine, *source.templates["secret_fine"]]
    return varied(rng.choice([*scenario.asks, *fine]), rng)
