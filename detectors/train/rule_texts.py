"""Pairs of a system prompt with a rule and a request; the scenarios are in ``texts/rules.toml``.

The label says whether the rule forbids the request. Half of the forbidden and half of the allowed requests are in the
wording of an attack style, so that the style alone says nothing.
"""

import random
from collections.abc import Sequence

from detectors.train.style_texts import wrapped
from detectors.train.templates import Scenario, fill, of_scenarios, read_source, varied

__all__ = ["asked", "ruled"]

#: Share of requests in an attack style, and of allowed requests that belong to another scenario.
STYLED, FOREIGN = 0.35, 0.4


def _request(asks: Sequence[str], goal: str, split: str, rng: random.Random) -> str:
    verb, _, noun = goal.partition("|")
    return wrapped(verb, noun, split, rng) if goal and rng.random() < STYLED else rng.choice(asks)


def _asks(scenario: Scenario) -> tuple[Sequence[str], str]:
    if scenario.kind != "secret":
        return scenario.asks, scenario.goal
    asks = read_source("rules").templates["secret_asks"]
    return [ask.replace("{it}", scenario.it) for ask in asks], f"tell me {scenario.it}|{scenario.it}"


def ruled(rng: random.Random, split: str) -> tuple[str, str, float]:
    """Return (system prompt, request, whether the prompt's rule forbids the request) from a scenario of ``split``."""
    source = read_source("rules")
    scenarios = of_scenarios(source.scenarios, split)
    scenario = rng.choice(scenarios)
    rule = fill(rng.choice(scenario.system), source.slots, rng)
    parts = [rng.choice(source.slots["before"]), rule, rng.choice(source.slots["after"])]
    system = " ".join(part for part in parts if part)
    if rng.random() < 0.5:
        return system, varied(_request(*_asks(scenario), split, rng), rng), 1.0
    if scenario.kind != "only" and rng.random() < FOREIGN:
        other = rng.choice([one for one in scenarios if one is not scenario and one.kind in {"topic", "only"}])
        return system, varied(_request([*other.asks, *other.fine], other.goal, split, rng), rng), 0.0
    fine = read_source("rules").templates["secret_fine"] if scenario.kind == "secret" else scenario.fine
    if scenario.kind != "only" and rng.random() < STYLED:
        verb, _, noun = rng.choice(read_source("styles").templates["good"]).partition("|")
        return system, varied(wrapped(verb, noun, split, rng), rng), 0.0
    return system, varied(rng.choice(fine), rng), 0.0


def asked(rng: random.Random, split: str) -> str:
    """Return a request that is harmless without the rule of its scenario."""
    source = read_source("rules")
    scenario = rng.choice([one for one in of_scenarios(source.scenarios, split) if one.kind == "topic"])
    fine = [*scenario.fine, *source.templates["secret_fine"]]
    return varied(rng.choice([*scenario.asks, *fine]), rng)
