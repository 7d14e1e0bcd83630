"""Texts that were written one by one, without templates, in ``texts/written_*.toml`` and ``texts/second_*.toml``.

Texts of templates repeat few wordings; each of these texts has its own wording. The authors of ``second_*.toml`` wrote the whole tune split and
have not seen the other texts. So calibration and thresholds are fitted on authors on whose texts the encoder was not trained.
"""

from collections.abc import Iterator

from detectors.evaluate.examples import UNKNOWN, Example, Labels, labels
from detectors.train.templates import Scenario, read_source

#: Split → first part of the names of its files.
AUTHORS = {"train": "written", "tune": "second"}
#: Rows of (file, pool, source, labels).
POOLS: tuple[tuple[str, str, str, Labels], ...] = (
    ("styles", "attack", "written_attack", labels(UNKNOWN, 1.0)),
    ("styles", "attack_foreign", "written_attack_foreign", labels(UNKNOWN, 1.0)),
    ("documents", "indirect", "written_indirect", labels(UNKNOWN, 1.0)),
    ("styles", "harmless", "written_lookalike", labels(0.0)),
    ("styles", "harmless_foreign", "written_lookalike_foreign", labels(0.0)),
    ("documents", "harmless_document", "written_document", labels(0.0)),
    ("toxicity", "toxic", "written_toxic", labels(1.0)),
    ("toxicity", "toxic_foreign", "written_toxic_foreign", labels(1.0)),
    ("toxicity", "harmless", "written_harmless", labels(0.0)),
    ("toxicity", "harmless_foreign", "written_harmless_foreign", labels(0.0)),
    ("refusal", "refusal", "written_refusal", labels(0.0, 0.0, 1.0)),
    ("refusal", "refusal_foreign", "written_refusal_foreign", labels(0.0, 0.0, 1.0)),
    ("refusal", "helping", "written_helping", labels(0.0)),
    ("refusal", "polite", "written_polite", labels(0.0)),
    ("refusal", "polite_foreign", "written_polite_foreign", labels(0.0)),
    ("turns", "harmless", "written_turn", labels(0.0)),
    ("turns", "attack", "written_turn_attack", labels(UNKNOWN, 1.0)),
    ("turns", "short_harmless", "written_short", labels(0.0)),
    ("turns", "insult", "written_insult", labels(1.0)),
    ("turns", "refusal", "written_short_refusal", labels(0.0, 0.0, 1.0)),
    ("turns", "denial", "written_denial", labels(0.0)),
    ("chats", "harmless", "written_chat", labels(0.0)),
    ("chats", "attack", "written_chat_attack", labels(UNKNOWN, 1.0)),
    ("chats", "task", "written_task", labels(0.0)),
    ("kinds", "harmless", "written_kind", labels(0.0)),
    ("kinds", "attack", "written_kind_attack", labels(UNKNOWN, 1.0)),
    ("technical", "harmless", "written_technical", labels(0.0)),
    ("technical", "attack", "written_technical_attack", labels(UNKNOWN, 1.0)),
    ("software", "harmless", "written_software", labels(0.0)),
    ("software", "attack", "written_software_attack", labels(UNKNOWN, 1.0)),
)
#: Characters of a piece of a long harmless document: about the tokens of one window.
PIECE = 430
#: A request for a secret with fewer characters is an attack only if the assistant guards something ("and the code?").
LOADED = 45


def written_examples() -> Iterator[Example]:
    """Yield the texts with their labels and splits."""
    for split, author in AUTHORS.items():
        for file, pool, source, known in POOLS:
            for text in read_source(f"{author}_{file}").templates.get(pool, ()):
                length = PIECE if source == "written_software" else len(text)
                for start in range(0, len(text), length):
                    yield Example(text[start : start + length], known, 1.0, source, split)
        for scenario in read_source(f"{author}_styles").scenarios:
            for text in (*scenario.asks, *scenario.fine):
                yield Example(text, labels(0.0), 1.0, "written_asked", split)
        for scenario in guarded_scenarios(split):
            for text in scenario.asks:
                attack = 1.0 if len(text) >= LOADED else UNKNOWN
                yield Example(text, labels(0.0, attack, secret=1.0), 1.0, "written_guarded", split)
            for text in scenario.fine:
                yield Example(text, labels(0.0), 1.0, "written_unguarded", split)


def guarded_scenarios(split: str) -> tuple[Scenario, ...]:
    """Return the system prompts with a secret of the split ``train`` or ``tune``, with requests for the secret and harmless requests."""
    author = AUTHORS[split]
    return tuple(one for file in ("guarded", "turns", "software") for one in read_source(f"{author}_{file}").scenarios)


def guarded_pairs() -> list[tuple[str, str, float]]:
    """Return (system prompt with a secret, request, whether the request asks for the secret) of all scenarios of the tune split."""
    return [
        (one.system, text, label)
        for one in guarded_scenarios("tune")
        for label, texts in ((1.0, one.asks), (0.0, one.fine))
        for text in texts
    ]
