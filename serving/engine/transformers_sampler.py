"""Sampling with the parameters of each request in transformers' continuous batching.

transformers' own logits processors support neither seeds nor penalties. This logits processor chooses each token itself and sets the logit of all
other tokens to -inf, so that the argmax of transformers returns the chosen token.
"""

import threading
from typing import Any

import torch
from transformers.generation.continuous_batching.cb_logits_processors import ContinuousBatchingLogitsProcessor
from xgrammar import GrammarMatcher

from serving.engine.protocol import Sampling
from serving.engine.sampler import Draw, choose


class RequestSampler(ContinuousBatchingLogitsProcessor):
    """A logits processor that chooses each token; the manager must use no CUDA graphs and no asynchronous batching."""

    supported_kwargs: dict[str, type] = {}  # noqa: RUF012 - the base class declares it so
    ignored_kwargs: tuple[str, ...] = ()

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._draws: dict[str, Draw] = {}
        self._order: list[Draw] = []
        self._fallback = Sampling(max_tokens=1, temperature=0.0)

    def install(self, processors: Any) -> None:
        """Replace a manager's list of logits processors by this processor."""
        processors.clear()
        processors.logits_processor.append(self)
        processors.tensors_required = 1
        processors.do_processing = True

    def add(self, request_id: str, sampling: Sampling, matcher: GrammarMatcher | None = None) -> Draw:
        """Set the sampling parameters and the grammar of a new request; return its sampling state."""
        draw = Draw(sampling, matcher)
        with self._lock:
            self._draws[request_id] = draw
        return draw

    def remove(self, request_id: str) -> None:
        """Remove the sampling state of a request."""
        with self._lock:
            self._draws.pop(request_id, None)

    def fill_defaults(self, int32_tensor: torch.Tensor) -> None:
        """Fill the tensor with 0; transformers requires the tensor, but this processor does not use it."""
        int32_tensor.fill_(0)

    def prepare_tensor_args(self, requests_with_new_token: list[Any]) -> torch.Tensor:
        """Store the sampling states of the next step's requests, in the order of the rows; return an unused tensor."""
        with self._lock:
            found = [self._draws.get(future.state.request_id) for future in requests_with_new_token]
        self._order = [draw if draw is not None else Draw(self._fallback) for draw in found]
        return torch.zeros(len(self._order), dtype=torch.int32)

    def __call__(self, scores: Any, tensor_arg: torch.Tensor) -> Any:  # noqa: ARG002 - the base class's form
        """Return `scores` with the logit 0 for the chosen token of each row and -inf for all its other tokens."""
        rows = len(self._order)
        if rows == 0:
            return scores
        tokens = torch.tensor(choose(scores[:rows].clone(), self._order), device=scores.device)
        only = torch.full_like(scores, float("-inf"))
        only[rows:] = scores[rows:]
        only[:rows].scatter_(-1, tokens[:, None], 0.0)
        return only
