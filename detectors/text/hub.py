"""Hub detector: runs a sequence classifier from the Hugging Face hub or from a folder.

A team can use ``unitary/toxic-bert`` or its own classifier without writing a detector. Nothing is downloaded unless the
configuration allows it. No pickle is opened and no code of a repository runs. Weights are loaded only if their SHA-256
is the configured one.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, ClassVar, Literal

import msgspec
import numpy as np
from msgspec import Meta

from detectors.base import AlertText, Score, TextDetector
from detectors.errors import ConfigError, NotLoadedError, WeightsError
from detectors.models.hub_files import check_source, hub_folder, read_weights, safetensors_of, tokenizer_of


class HubConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of a classifier from the hub.

    Attributes
    ----------
    model
        A folder, or the id of a repository on the hub.
    revision
        The commit of the repository (40 hexadecimal digits); leave it out for a folder.
    sha256
        SHA-256 of every safetensors file by name; other files that are named here are checked too.
    labels
        The verdict's label for each label of the model; other labels of the model are ignored.
    threshold
        A text is flagged if a label of ``labels`` has at least this probability.
    activation
        ``sigmoid`` for independent labels, ``softmax`` for exclusive ones; ``auto`` reads the model's configuration.
    allow_download
        Whether to download the repository if the local cache does not contain it.
    max_tokens
        Tokens per window; the model's own limit applies too.
    max_windows
        Maximum number of windows read from a long text; unread windows lower ``covered``.
    threads
        Torch threads of this process, set at ``load()``; 0 leaves the number unchanged.
    """

    model: str = ""
    revision: str = ""
    sha256: dict[str, str] = {}
    labels: dict[str, str] = {}
    threshold: Annotated[float, Meta(gt=0, le=1)] = 0.5
    activation: Literal["auto", "sigmoid", "softmax"] = "auto"
    allow_download: bool = False
    max_tokens: Annotated[int, Meta(ge=16, le=8192)] = 256
    max_windows: Annotated[int, Meta(ge=1, le=4096)] = 64
    threads: Annotated[int, Meta(ge=0)] = 0


class HubDetector(TextDetector[HubConfig]):
    """Detector whose score is the highest probability of a configured label in any window of the text."""

    name: ClassVar[str] = "hub"
    version: ClassVar[str] = "1"
    config_type: ClassVar[type[msgspec.Struct]] = HubConfig
    alert: ClassVar[AlertText] = AlertText(
        subject="labels of your own model",
        runbook="Open a request with `weir show ID`; its verdict has the label that your model found; act as that label "
        "requires.",
    )

    def __init__(self, config: HubConfig | None = None) -> None:
        super().__init__(config)
        pinned = msgspec.json.encode([sorted(self.config.sha256.items()), sorted(self.config.labels.items())])
        self.version = f"1+{hashlib.sha256(pinned).hexdigest()[:8]}"  # type: ignore[misc]  # other weights, another version
        self._classifier: Any = None
        self._words: dict[int, str] = {}

    def check_options(self) -> None:
        """Raise ConfigError if the model, the commit of a repository, or the labels are not configured."""
        check_source(self.config.model, self.config.revision)
        if not self.config.labels:
            raise ConfigError(
                "detector hub has no labels: set the model's labels (id2label in its config.json) in detectors.options.hub.labels"
            )

    def load(self) -> None:
        """Find, check and load the model; see `TextDetector.load`.

        Raises ConfigError if the model, its revision or its labels are not configured, or the model lacks a configured
        label. Raises WeightsError if the model is missing, pickled, has another digest or is not a sequence classifier.
        """
        if self._classifier is not None:
            return
        folder = hub_folder(self.config.model, self.config.revision, allow_download=self.config.allow_download)
        state = read_weights(folder, safetensors_of(folder), self.config.sha256)
        tokenizer = tokenizer_of(folder)
        try:
            from detectors.models.hub_model import Classifier  # noqa: PLC0415 - transformers takes seconds to import
        except ModuleNotFoundError as error:
            raise WeightsError(
                f"detector hub runs on transformers, and {error.name} is missing: pip install transformers"
            ) from error
        classifier = Classifier(folder, state, tokenizer, self.config.max_tokens, self.config.threads)
        self._words = classifier.outputs_of(self.config.labels)
        self._classifier = classifier

    def score_many(self, texts: Sequence[str]) -> list[Score]:
        """Score each text; see `TextDetector.score_many`. An empty text scores 0."""
        if self._classifier is None:
            raise NotLoadedError("hub.score_many before load(): call load() once in the process that scores")
        readings = self._classifier.read_many(texts, self.config.max_windows, self.config.activation)
        return [self._score(row, covered) for row, covered in readings]

    def _score(self, row: Mapping[int, float] | np.ndarray[Any, Any], covered: float) -> Score:
        best = max(self._words, key=lambda index: float(row[index]))
        score = min(1.0, max(0.0, float(row[best])))
        return Score.of(score, self.config.threshold, self._words[best], covered)
