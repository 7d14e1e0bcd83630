"""Champion and challenger in one model: the base with an adapter on, or off."""

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from jinja2 import TemplateError
from peft import PeftModel

from stream.loop.cases import template_error
from stream.loop.sequential import Arm

Messages = list[dict[str, str]]
#: Conversations that are answered together, and pairs whose logits are computed together (300 MB for 49,000 tokens).
BATCH, LOSS_BATCH = 32, 8
_LONGEST_PROMPT = 1024


class Arms:
    """Answers and likelihoods of both arms.

    Parameters
    ----------
    model, tokenizer
        The base model and its tokenizer, which has a chat template, an end token and a padding token.
    challenger, champion
        Folders of the adapters; without a champion's adapter, the base is the champion.
    """

    def __init__(self, model: Any, tokenizer: Any, *, challenger: Path, champion: Path | None = None) -> None:
        self._tokenizer = tokenizer
        self._model: Any = PeftModel.from_pretrained(model, str(challenger), adapter_name="challenger")
        if champion is not None:
            self._model.load_adapter(str(champion), adapter_name="champion")
        self._has_champion = champion is not None
        self._model.eval()
        ends = {
            tokenizer.eos_token_id,
            *_listed(model.generation_config.eos_token_id),
            *_listed(model.config.eos_token_id),
        }
        self._ends = sorted(token for token in ends if token is not None)

    @contextlib.contextmanager
    def _as(self, arm: Arm) -> Iterator[Any]:
        with torch.inference_mode(), contextlib.ExitStack() as stack:
            if arm == "champion" and not self._has_champion:
                stack.enter_context(self._model.disable_adapter())
            else:
                self._model.set_adapter(arm)
            yield self._model

    def answers(self, arm: Arm, conversations: Sequence[Messages], max_tokens: int) -> list[str]:
        """Return the greedy answer of an arm to each conversation."""
        found: list[str] = []
        for start in range(0, len(conversations), BATCH):
            prompts = [self._prompt(messages) for messages in conversations[start : start + BATCH]]
            ids, mask = self._padded(prompts)
            with self._as(arm) as model:
                made = model.generate(
                    input_ids=ids,
                    attention_mask=mask,
                    do_sample=False,
                    max_new_tokens=max_tokens,
                    eos_token_id=self._ends,
                    pad_token_id=self._tokenizer.pad_token_id,
                )
            found += self._tokenizer.batch_decode(made[:, ids.shape[1] :], skip_special_tokens=True)
        return [answer.strip() for answer in found]

    def loss(self, arm: Arm, pairs: Sequence[tuple[Messages, str]], max_tokens: int) -> list[float]:
        """Return for each (conversation, answer) the mean negative log-likelihood of the answer's first tokens, in nats."""
        found: list[float] = []
        for start in range(0, len(pairs), LOSS_BATCH):
            batch = pairs[start : start + LOSS_BATCH]
            answers = [self._tokenizer.encode(text, add_special_tokens=False)[:max_tokens] for _, text in batch]
            prompts = [self._prompt(messages) for messages, _ in batch]
            ids, mask = self._padded([prompt + answer for prompt, answer in zip(prompts, answers, strict=True)])
            with self._as(arm) as model:
                longest = max(1, *(len(answer) for answer in answers))
                places = (mask.cumsum(1) - 1).clamp(min=0)
                logits = model(
                    input_ids=ids, attention_mask=mask, position_ids=places, logits_to_keep=longest + 1
                ).logits
            logs = torch.log_softmax(logits[:, :-1].float(), dim=-1)
            picked = logs.gather(2, ids[:, -logs.shape[1] :].unsqueeze(2)).squeeze(2)
            for row, answer in zip(picked, answers, strict=True):
                found.append(-float(row[-len(answer) :].mean()) if answer else 0.0)
        return found

    def _prompt(self, messages: Messages) -> list[int]:
        try:
            text = self._tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        except TemplateError as error:
            raise template_error(self._tokenizer.name_or_path, type(error).__name__) from error
        return list(self._tokenizer.encode(text, add_special_tokens=False))[-_LONGEST_PROMPT:]

    def _padded(self, rows: Sequence[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Return token ids and attention mask, padded on the left."""
        width = max(len(row) for row in rows)
        ids = torch.full((len(rows), width), self._tokenizer.pad_token_id)
        mask = torch.zeros((len(rows), width), dtype=torch.long)
        for index, row in enumerate(rows):
            ids[index, width - len(row) :] = torch.tensor(row)
            mask[index, width - len(row) :] = 1
        return ids, mask


def _listed(value: int | list[int] | None) -> list[int]:
    return value if isinstance(value, list) else [] if value is None else [value]
