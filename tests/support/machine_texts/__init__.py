"""Seeded texts of machines (logs, tables, code, numbers) that contain no personal data.

By construction no text has a person, a phone number, a public address or an account number: each finding of the PII
detector is a false positive. Tune detectors on the kinds in `TUNED` only; measure them on `HELD_OUT` too.
"""

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random

from rstr import Rstr

__all__ = ["HELD_OUT", "TUNED", "machine_texts"]

_FRAMES = (
    "{}",
    "{}",
    "{}",
    "What does this mean?\n{}",
    "Explain the following output:\n\n{}",
    "Here is the data:\n{}\nWhich value is the largest?",
    "The call returned this:\n{}",
    "I copied these cells from my sheet, please sum them up.\n{}",
    "{}\nPlease reach a conclusion in one sentence.",
    "Number of rows and a summary, please: {}",
)
#: Kind → regular expressions of its lines.
TUNED, HELD_OUT = tomllib.loads(Path(__file__).with_name("kinds.toml").read_text()).values()


def machine_texts(kinds: Mapping[str, Sequence[str]], each: int, seed: int) -> list[tuple[str, str]]:
    """Return `each` texts of every kind, as (kind, text) of 1 to 8 lines of one layout; a seed determines the texts."""
    texts = []
    for kind, layouts in kinds.items():
        for index in range(each):
            random = Random(f"{seed}:{kind}:{index}")
            frame, layout, draw = random.choice(_FRAMES), random.choice(layouts), Rstr(random)
            lines = "\n".join(draw.xeger(layout) for _ in range(random.randint(1, 8)))
            texts.append((kind, frame.format(lines)))
    return texts
