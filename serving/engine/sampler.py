"""Choose the next token of each request in a batch, with the request's own sampling parameters and random numbers."""

import math
from collections import Counter, deque
from collections.abc import Sequence
from typing import NamedTuple

import torch
from xgrammar import GrammarMatcher, allocate_token_bitmask, apply_token_bitmask_inplace

from serving.engine.protocol import Sampling

# Sorting a vocabulary takes milliseconds; its likeliest few hundred tokens nearly always hold `top_p` of the whole.
_LIKELIEST = 256
_GREEDY_BELOW = 1e-5


class DrawnLogprob(NamedTuple):
    """The natural logarithm of the probability of a chosen token; `top` are (token, logarithm) of the most likely tokens."""

    token: int
    logprob: float
    top: tuple[tuple[int, float], ...]


class Draw:
    """The sampling state of one request: parameters, random number generator, and counts of its generated tokens.

    Each request has its own random numbers, so its answer does not depend on the other requests in the batch. With a
    `matcher`, only tokens that its grammar allows are chosen.
    """

    def __init__(self, sampling: Sampling, matcher: GrammarMatcher | None = None) -> None:
        self.sampling = sampling
        self._matcher = matcher
        self._bias: tuple[torch.Tensor, torch.Tensor] | None = None
        self.greedy = sampling.temperature < _GREEDY_BELOW
        self._penalised = bool(sampling.frequency_penalty or sampling.presence_penalty)
        self._counts: Counter[int] = Counter()
        self._logprobs: deque[DrawnLogprob] = deque()
        self._generator = torch.Generator()
        if sampling.seed is None:
            self._generator.seed()
        else:
            self._generator.manual_seed(sampling.seed % 2**63)

    @property
    def grammar(self) -> GrammarMatcher | None:
        """The matcher of the next token, or None if the grammar allows any token or has ended."""
        return None if self._matcher is None or self._matcher.is_terminated() else self._matcher

    @property
    def adjusts(self) -> bool:
        """Whether a bias or penalties change the logits of the next token."""
        return bool(self.sampling.logit_bias) or (self._penalised and bool(self._counts))

    def adjust(self, logits: torch.Tensor) -> None:
        """Apply OpenAI's bias, and its frequency and presence penalties of the tokens generated before, to `logits` in place."""
        if self.sampling.logit_bias:
            logits.index_add_(0, *self._bias_tensors(logits))
        if not self._penalised:
            return
        tokens = torch.tensor(list(self._counts), dtype=torch.long, device=logits.device)
        counts = torch.tensor(list(self._counts.values()), dtype=logits.dtype, device=logits.device)
        logits[tokens] -= counts * self.sampling.frequency_penalty + self.sampling.presence_penalty

    def _bias_tensors(self, logits: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the biased tokens that the model has, and their biases."""
        if self._bias is None:
            known = [(token, bias) for token, bias in self.sampling.logit_bias if token < len(logits)]
            tokens = torch.tensor([token for token, _ in known], dtype=torch.long, device=logits.device)
            biases = torch.tensor([bias for _, bias in known], dtype=logits.dtype, device=logits.device)
            self._bias = tokens, biases
        return self._bias

    def uniform(self) -> float:
        """Return the request's next random number, in [0, 1)."""
        return float(torch.rand((), generator=self._generator, dtype=torch.float64))

    def said(self, token: int, logits: torch.Tensor) -> None:
        """Count a chosen token for the penalties and the grammar, and store its log-probability if the request wants it.

        The most likely tokens are those that the grammar allows.
        """
        if (grammar := self.grammar) is not None:
            grammar.accept_token(token)
        if self._penalised:
            self._counts[token] += 1
        if self.sampling.logprobs is not None:
            logprobs = torch.log_softmax(logits.float(), dim=-1)
            values, tokens = logprobs.topk(self.sampling.logprobs)
            likely = zip(tokens.tolist(), values.tolist(), strict=True)
            top = tuple((other, value) for other, value in likely if value != -math.inf)
            self._logprobs.append(DrawnLogprob(token, float(logprobs[token]), top))

    def take_logprob(self) -> DrawnLogprob | None:
        """Remove and return the oldest log-probability, or None; another thread may choose tokens at the same time."""
        return self._logprobs.popleft() if self._logprobs else None


@torch.inference_mode()
def choose(logits: torch.Tensor, draws: Sequence[Draw]) -> list[int]:
    """Choose a token for each row.

    Parameters
    ----------
    logits
        Shape `[rows, vocabulary size]`, one row per request; bias, penalties and grammars may change it in place.
    draws
        The sampling state of each row's request.

    Returns
    -------
    list of int
        The token of each row; `draws` have counted it.
    """
    if any(draw.adjusts for draw in draws):
        logits = logits.float()
        for row, draw in zip(logits, draws, strict=True):
            if draw.adjusts:
                draw.adjust(row)
    _mask(logits, draws)
    tokens: list[int] = logits.argmax(dim=-1).tolist()
    drawn = [index for index, draw in enumerate(draws) if not draw.greedy]
    if drawn:
        chosen = _sample(logits[drawn], [draws[index] for index in drawn])
        for index, token in zip(drawn, chosen, strict=True):
            tokens[index] = token
    for draw, token, row in zip(draws, tokens, logits, strict=True):
        draw.said(token, row)
    return tokens


def _mask(logits: torch.Tensor, draws: Sequence[Draw]) -> None:
    """Set the logit of each token that a row's grammar does not allow to -inf, in place."""
    grammars = {row: grammar for row, draw in enumerate(draws) if (grammar := draw.grammar) is not None}
    if not grammars:
        return
    allowed = allocate_token_bitmask(*logits.shape)
    for row, grammar in grammars.items():
        grammar.fill_next_token_bitmask(allowed, row)
    apply_token_bitmask_inplace(logits, allowed.to(logits.device), vocab_size=logits.shape[-1], indices=list(grammars))


def _sample(logits: torch.Tensor, draws: Sequence[Draw]) -> list[int]:
    temperature = torch.tensor([draw.sampling.temperature for draw in draws], device=logits.device)
    probabilities = torch.softmax(logits.float() / temperature[:, None], dim=-1)
    points = torch.tensor([draw.uniform() for draw in draws], dtype=torch.float64, device=logits.device)
    cut = [index for index, draw in enumerate(draws) if draw.sampling.top_p < 1.0]
    tokens = [0] * len(draws) if len(cut) == len(draws) else _pick(probabilities, points)
    if cut:
        share = torch.tensor([draws[index].sampling.top_p for index in cut], device=logits.device)
        for index, token in zip(cut, _nucleus(probabilities[cut], points[cut], share), strict=True):
            tokens[index] = token
    return tokens


def _nucleus(probabilities: torch.Tensor, points: torch.Tensor, share: torch.Tensor) -> list[int]:
    """Draw each row's token from its smallest set of likely tokens with a total probability of at least `share` (`top_p`)."""
    size = min(_LIKELIEST, probabilities.shape[-1])
    values, tokens = probabilities.topk(size, dim=-1)
    if bool((values.sum(dim=-1) < share).any()):
        values, tokens = probabilities.sort(dim=-1, descending=True)
    before = values.cumsum(dim=-1) - values
    kept = values.masked_fill(before >= share[:, None], 0.0)
    kept[:, 0] = values[:, 0]
    picked = torch.tensor(_pick(kept, points), device=tokens.device)
    return list(tokens.gather(-1, picked[:, None]).flatten().tolist())


def _pick(weights: torch.Tensor, points: torch.Tensor) -> list[int]:
    """Return each row's first index at which the cumulative weight exceeds `points` (in [0, 1)) times the row's sum."""
    total = weights.cumsum(dim=-1, dtype=torch.float64)
    # The point is below the whole, so that the first token whose sum exceeds it has a weight above 0.
    target = (points * total[:, -1]).clamp(max=total[:, -1].nextafter(torch.zeros_like(points)))
    return list(torch.searchsorted(total, target[:, None], right=True).flatten().tolist())
