"""Per-request sampling inside transformers' continuous batching.

Its own processors support neither seeds nor penalties. This one chooses with the sampler of the other engines and leaves the manager's
argmax a single candidate, so that a request samples the same way in every engine.
"""

import threading
from typing import Any

import torch
from transformers.generation.continuous_batching.cb_logits_processors import ContinuousBatchingLogitsProcessor

from serving.engine.protocol import Sampling
from serving.engine.sampler import Draw, choose

__all__ = ["RequestSampler"]


class RequestSampler(ContinuousBatchingLogitsProcessor):
    """Chooses every row's token; needs a manager without CUDA graphs and without asynchronous batching."""

    supported_kwargs: dict[str, type] = {}  # noqa: RUF012 - the base class declares it so
    ignored_kwargs: tuple[str, ...] = ()

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._draws: dict[str, Draw] = {}
        self._order: list[Draw] = []
        self._fallback = Sampling(max_tokens=1, temperature=0.0)

    def install(self, processors: Any) -> None:
        """Replace a manager's processors."""
        processors.clear()
        processors.logits_processor.append(self)
        processors.tensors_required = 1
        processors.do_processing = True

    def add(self, request_id: str, sampling: Sampling) -> None:
        """Choose for a request by `sampling` from now on."""
        with self._lock:
            self._draws[request_id] = Draw(sampling)

    def remove(self, request_id: str) -> None:
        """Forget a request."""
        with self._lock:
            self._draws.pop(request_id, None)

    def fill_defaults(self, int32_tensor: torch.Tensor) -> None:
        """Fill the tensor, which is unused: the draws stay on the host."""
        int32_tensor.fill_(0)

    def prepare_tensor_args(self, requests_with_new_token: list[Any]) -> torch.Tensor:
        """Store the requests of the next rows, in order."""
        with self._lock:
            found = [self._draws.get(future.state.request_id) for future in requests_with_new_token]
        self._order = [draw if draw is not None else Draw(self._fallback) for draw in found]
        return torch.zeros(len(self._order), dtype=torch.int32)

    def __call__(self, scores: Any, tensor_arg: torch.Tensor) -> Any:  # noqa: ARG002 - the base class's form
        """Leave each row only its chosen token."""
        rows = len(self._order)
        if rows == 0:
            return scores
        tokens = torch.tensor(choose(scores[:rows].clone(), self._order), device=scores.device)
        only = torch.full_like(scores, float("-inf"))
        only[rows:] = scores[rows:]
        only[:rows].scatter_(-1, tokens[:, None], 0.0)
        return only
