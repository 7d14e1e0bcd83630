"""The rules of the PII detector, read from rules.toml."""

import msgspec

from detectors.toml_files import read_toml

Words = tuple[str, ...]
#: Number of characters before and after a number that are searched for words.
BEFORE, AFTER = 60, 20
#: Added to the score of a candidate near such a word; lowest score that is reported.
CONTEXT_GAIN, REPORTED_FROM = 0.35, 0.4


class PhoneRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Context words and digit layouts of phone numbers."""

    labels: Words
    labels_unspaced: Words
    fillers: Words
    fillers_unspaced: Words
    words: Words
    not_labels: Words
    units: Words
    trunk_regions: Words
    bracket_regions: Words
    groups: dict[str, frozenset[tuple[int, ...]]]


class AddressRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Words of streets, by their position beside the name and the house number, and words of residence."""

    after_name: Words
    after_number: Words
    before_name: Words
    suffixes: Words
    between: Words
    residence: Words


class Rules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The tables of rules.toml; the comments in this file describe each table."""

    recognizers: Words
    without: frozenset[str]
    needs_context: frozenset[str]
    indirect: frozenset[str]
    address_context: Words
    ip_words: Words
    version_words: Words
    other_labels: Words
    own: tuple[tuple[str, str, float], ...]
    overrides: dict[str, str]
    context: dict[str, Words]
    card_lengths: dict[str, tuple[int, ...]]
    card_lengths_in_context: dict[str, tuple[int, ...]]
    sure_from: dict[str, float]
    fewest_digits: dict[str, int]
    id_words: dict[str, Words]
    phone: PhoneRules
    address: AddressRules


RULES = read_toml("detectors.pii", "rules.toml", Rules)
