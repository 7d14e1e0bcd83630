"""The demo's prompts, from prompts.toml."""

import tomllib
from importlib.resources import files

_PROMPTS = tomllib.loads((files("weir.demo") / "prompts.toml").read_text(encoding="utf-8"))
ORDINARY: list[str] = _PROMPTS["ordinary"]
PERSONAL: list[str] = _PROMPTS["personal"]
TOXIC: list[str] = _PROMPTS["toxic"]
INJECTION: list[str] = _PROMPTS["injection"]
#: Questions about software: another cluster of embeddings than the ordinary prompts.
NEW_TOPIC: list[str] = _PROMPTS["new_topic"]
#: A better answer to each prompt of NEW_TOPIC, in the same order.
BETTER: list[str] = _PROMPTS["better"]
