"""A transformers sequence classifier, built from a configuration and from tensors whose digests were checked."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import Tokenizer
from torch import Tensor
from transformers import AutoConfig
from transformers.models.auto.modeling_auto import MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING

from detectors.errors import ConfigError, WeightsError
from detectors.models.minilm import set_threads
from detectors.models.token_windows import buckets, split_long_words

#: Tokens that two consecutive windows share.
OVERLAP = 32


class Classifier:
    """A classifier that returns one probability per label for each text.

    Raises WeightsError if transformers has no sequence classifier for the folder's configuration, or if the tensors do
    not fit the configuration.
    """

    def __init__(self, folder: Path, state: dict[str, Tensor], tokenizer: Tokenizer, length: int, threads: int) -> None:
        set_threads(threads)
        try:
            config = AutoConfig.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
            kind: Any = MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING[type(config)]
            model, loading = kind.from_pretrained(
                None, config=config, state_dict=state, output_loading_info=True, dtype=torch.float32
            )
        except (OSError, ValueError, KeyError, RuntimeError) as error:
            raise WeightsError(
                f"{folder} is not a sequence classifier that transformers can load: {error}; name another model in detectors.options.hub.model"
            ) from error
        missing = sorted(loading["missing_keys"])
        if missing:
            raise WeightsError(
                f"{folder} has {len(missing)} missing tensors, such as {missing[0]}, so it is not a sequence classifier: name another model in detectors.options.hub.model"
            )
        self._model: Any = model.eval().requires_grad_(requires_grad=False)
        self._labels = {str(label): int(index) for index, label in config.id2label.items()}
        self._independent = config.problem_type == "multi_label_classification"
        self._pad = int(config.pad_token_id or 0)
        # Some position tables have 2 rows for padding: RoBERTa's 514 rows are for 512 tokens.
        most = min(length, int(getattr(config, "max_position_embeddings", 514)) - 2)
        tokenizer.no_padding()
        tokenizer.enable_truncation(most, stride=min(OVERLAP, most // 4))
        self._tokenizer = tokenizer

    def outputs_of(self, words: Mapping[str, str]) -> dict[int, str]:
        """Return the verdict label of each output index; ``words`` maps the model's labels to verdict labels.

        Raises ConfigError if no label is configured, or if the model lacks a configured label.
        """
        unknown = sorted(set(words) - set(self._labels))
        if unknown or not words:
            what = f"labels {', '.join(map(repr, unknown))} are unknown" if unknown else "labels are empty"
            raise ConfigError(f"detector hub: {what}; the model's are {', '.join(self._labels)}")
        return {self._labels[label]: word for label, word in words.items()}

    def read_many(self, texts: Sequence[str], most: int, activation: str) -> list[tuple[NDArray[np.float64], float]]:
        """Return for each text each label's probability (maximum over the windows), and the share of windows read."""
        best = np.zeros((len(texts), len(self._labels)), dtype=np.float64)
        covered = [1.0] * len(texts)
        rows: list[list[int]] = []
        owners: list[int] = []
        for index, text in enumerate(texts):
            if text.strip():
                encoding = self._tokenizer.encode(split_long_words(text))
                windows = [encoding.ids, *(more.ids for more in encoding.overflowing)]
                covered[index] = min(1.0, most / len(windows))
                rows += windows[:most]
                owners += [index] * len(windows[:most])
        if rows:
            np.maximum.at(best, owners, self._probabilities(rows, activation))
        return list(zip(best, covered, strict=True))

    def _probabilities(self, rows: Sequence[list[int]], activation: str) -> NDArray[np.float64]:
        independent = self._independent if activation == "auto" else activation == "sigmoid"
        result = np.zeros((len(rows), len(self._labels)), dtype=np.float64)
        with torch.inference_mode():
            for batch in buckets(rows):
                longest = max(len(rows[index]) for index in batch)
                ids = torch.tensor([[*rows[i], *([self._pad] * (longest - len(rows[i])))] for i in batch])
                mask = torch.arange(longest) < torch.tensor([len(rows[i]) for i in batch])[:, None]
                logits = self._model(input_ids=ids, attention_mask=mask.long()).logits.double()
                result[batch] = (torch.sigmoid(logits) if independent else torch.softmax(logits, dim=1)).numpy()
        return result
