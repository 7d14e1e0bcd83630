"""Seeded texts of machines (logs, tables, code, numbers) that contain no personal data.

By construction no text has a person, a phone number, a public address or an account number: each finding of the PII
detector is a false positive. Tune detectors on the kinds in `TUNED` only; measure them on `HELD_OUT` too.
"""

from collections.abc import Callable
from random import Random

from support.machine_texts.held_out import (
    byte_counts,
    counts,
    csv_rows,
    dates,
    logs,
    references,
    slices,
    tables,
    versions,
)
from support.machine_texts.tuned import bad_ibans, coordinates, decimals, epochs, hashes, literals, metrics, orders

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

_Kind = Callable[[Random], str]
TUNED: tuple[_Kind, ...] = (epochs, decimals, orders, hashes, coordinates, literals, bad_ibans, metrics)
HELD_OUT: tuple[_Kind, ...] = (dates, byte_counts, versions, logs, slices, csv_rows, tables, references, counts)


def machine_texts(kinds: tuple[_Kind, ...], each: int, seed: int) -> list[tuple[str, str]]:
    """Return `each` texts of every kind, as (name of the kind, text); the same seed gives the same texts."""
    texts = []
    for kind in kinds:
        for index in range(each):
            random = Random(f"{seed}:{kind.__name__}:{index}")
            texts.append((kind.__name__, random.choice(_FRAMES).format(kind(random))))
    return texts
