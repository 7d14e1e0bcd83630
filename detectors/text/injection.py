"""Injection detector: attempts to override the model's instructions or to make it ignore its rules.

A request for a secret of the system prompt can be an attack although its words are harmless. If the system messages of
its request mention a secret, the text is also scored as a request for a secret (`detectors.text.system_rules`); the
higher score counts.
"""

import math
from collections.abc import Sequence
from typing import ClassVar

import msgspec
import numpy as np
from numpy.typing import NDArray

from detectors.base import AlertText, Reads, Score, Turn
from detectors.models.embedding import Embedder
from detectors.text.shared_encoder import EncoderConfig, EncoderDetector
from detectors.text.system_rules import conflict_log_odds, conflict_readings, secrets_of

__all__ = ["InjectionConfig", "InjectionDetector"]

#: Embedded rules that a process keeps.
CACHED_RULES = 1024
#: Index of the encoder's output for requests for a secret.
SECRET = 8


class InjectionConfig(EncoderConfig, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of the injection detector.

    Attributes
    ----------
    whole_history
        Whether the detector reads every text of a request by itself, also those before the model's last message, which a client can
        invent. Each request of a conversation then has the wrong findings of all its turns.
    """

    whole_history: bool = False


class InjectionDetector(EncoderDetector):
    """Detector of attempts to override instructions or to make the model ignore its rules; also finds them inside other text."""

    name: ClassVar[str] = "injection"
    config_type: ClassVar[type[msgspec.Struct]] = InjectionConfig
    revision: ClassVar[int] = 6
    alert: ClassVar[AlertText] = AlertText(
        subject="prompt injection",
        runbook="Open a request with `weir show ID --text` and check what the answer disclosed; then make the system "
        "prompt stricter, or give the model fewer tools.",
    )
    explains: ClassVar[bool] = True
    reads: ClassVar[Reads] = Reads.UNTRUSTED
    label: ClassVar[str] = "injection"
    threshold: ClassVar[float] = 0.85
    limits: ClassVar[tuple[float, float]] = (0.05, 0.995)
    blend: ClassVar[float] = 0.1
    reads_rules: ClassVar[bool] = True

    def __init__(self, config: EncoderConfig | None = None) -> None:
        super().__init__(config)
        self._embedder: Embedder | None = None
        self._rules: dict[str, NDArray[np.float32]] = {}

    @property
    def reads_history(self) -> bool:
        """Whether it reads each text before the model's last message by itself, too."""
        return isinstance(self.config, InjectionConfig) and self.config.whole_history

    def score_answers(self, texts: Sequence[str], prompts: Sequence[Sequence[Turn]]) -> list[Score]:
        """Score each text in view of the system messages among its ``prompts``; other turns are ignored."""
        odds, covered = self.log_odds(texts)
        found = self.scores(texts, odds, covered)
        rules = [secrets_of(prompt) for prompt in prompts]
        rows = [row for row, own in enumerate(rules) if own and texts[row].strip()]
        if not rows:
            return found
        readings = self.conflict_readings([texts[row] for row in rows], odds[rows], [rules[row] for row in rows])
        for row, reading in zip(rows, readings, strict=True):
            score = 1.0 / (1.0 + math.exp(-conflict_log_odds(reading, self.engine.conflict)))
            if score > found[row].score:
                seen = self.score_of(score, found[row].covered)
                found[row] = seen if seen.flagged else msgspec.structs.replace(found[row], score=score)
        return found

    def conflict_readings(
        self, texts: Sequence[str], own: NDArray[np.float64], rules: Sequence[tuple[str, ...]]
    ) -> list[tuple[float, float, float]]:
        """Return the readings of `detectors.text.system_rules` of each text, with its own log-odds and its rules about secrets."""
        asks = self.engine.encode_many(texts, self.config.max_windows)
        return [
            conflict_readings(float(odds), output.odds[SECRET], float((self._rule_vectors(found) @ vector).max()))
            for odds, output, vector, found in zip(own, asks, self._embed(texts), rules, strict=True)
        ]

    def _embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        if self._embedder is None:  # only requests with rules need it
            embedder = Embedder(self.config.model_dir or None, self.config.threads)
            embedder.load()
            self._embedder = embedder
        return self._embedder.embed_many(texts)

    def _rule_vectors(self, rules: tuple[str, ...]) -> NDArray[np.float32]:
        if unknown := [rule for rule in rules if rule not in self._rules]:
            self._rules.update(zip(unknown, self._embed(unknown), strict=True))
        vectors = np.stack([self._rules[rule] for rule in rules])
        while len(self._rules) > CACHED_RULES:
            self._rules.pop(next(iter(self._rules)))
        return vectors
