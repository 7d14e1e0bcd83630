"""Remove layers of a model, and train the other layers to answer as the whole model does.

The removed layers are the block of consecutive layers whose input and output are most alike (Gromov et al., "The Unreasonable Ineffectiveness of the
Deeper Layers", arXiv 2403.17887). The last layer stays. As in this paper, a LoRA adapter repairs the damage. The adapter learns the probabilities of
the whole model (knowledge distillation: Hinton et al., arXiv 1503.02531) and is merged at the end.
"""

import math
import random
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import gguf
import msgspec
import torch
from peft import LoraConfig, get_peft_model

from stream.gguf_files import Floats, Matrix, copy_gguf, half
from stream.loop.smaller.plan import Pruning
from stream.loop.smaller.quantise import Report
from stream.loop.smaller.text import Passage
from stream.loop.training.base_model import linear_modules, load_base
from stream.loop.training.errors import TrainingError
from stream.loop.training.gguf_metadata import LLAMA, architecture, number, open_gguf
from stream.loop.training.job import TrainingJob, check_memory
from stream.loop.training.merge import write_merged

_ALPHA_PER_RANK = 2
_PROBES = 16
#: Steps whose mean is the last divergence.
_LAST = 8
_WARM_UP = 5
_REMEDY = ": the whole model and the pruned one are in memory together, in float32"


class _Whole(msgspec.Struct, frozen=True, kw_only=True):
    """The whole model in memory, with its tokenizer."""

    model: Any
    tokenizer: Any


def write_pruned(
    source: Path, target: Path, plan: Pruning, passages: Sequence[Passage], report: Report
) -> tuple[tuple[int, ...], dict[str, float]]:
    """Write the model of the GGUF file `source` to `target`, in F16, without ``plan.layers`` layers and distilled on `passages`.

    Returns the numbers of the removed layers, from 0, and the measurements of the distillation: ``loss_before`` and
    ``loss`` are the divergence in nats per token. Other files beside `target` are deleted at the end.

    Raises TrainingError if the number of layers is out of range, the file is damaged, the loss is not finite, or the
    memory exceeds its bound; OSError if the disk is full or fails.
    """
    _check_layers(source, plan.layers)
    report("loading the model", 0, 0)
    torch.set_num_threads(plan.job.threads)
    model, tokenizer = load_base(source)
    whole = _Whole(model=model.eval(), tokenizer=tokenizer)
    check_memory(plan.job, _REMEDY)
    removed = _layers_to_remove(whole, passages, plan.layers, plan.job.max_tokens)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        pruned, adapter = Path(folder, "pruned.gguf"), Path(folder, "adapter")
        drop_layers(source, pruned, removed)
        student, numbers = _distil(whole, pruned, passages, plan.job, report)
        student.save_pretrained(str(adapter), save_embedding_layers=False)
        write_merged(open_gguf(pruned), adapter, target)
    return tuple(removed), numbers


def _layers_to_remove(whole: _Whole, passages: Sequence[Passage], count: int, max_tokens: int) -> range:
    """Return the `count` consecutive layers whose input and output have the smallest mean angle on `passages`."""
    ids, mask, _ = _batch(whole.tokenizer, passages[:_PROBES], max_tokens)
    with torch.inference_mode():
        states = whole.model(
            input_ids=ids, attention_mask=mask, output_hidden_states=True, logits_to_keep=1
        ).hidden_states
    kept = mask.bool()
    # The last of the states is normalised, so no block ends there.
    angles = [
        float(_angle(states[first][kept], states[first + count][kept]))
        for first in range(whole.model.config.num_hidden_layers - count)
    ]
    best = min(range(len(angles)), key=angles.__getitem__)
    return range(best, best + count)


def _check_layers(source: Path, count: int) -> None:
    """Raise TrainingError if `count` layers cannot be removed from the GGUF file `source`."""
    reader = open_gguf(source)
    if architecture(reader) != LLAMA:
        raise TrainingError(f"{source} is a model of architecture {architecture(reader)}; only {LLAMA} can be pruned")
    layers = number(reader, "block_count")
    if not 0 < count < layers:
        raise TrainingError(f"--layers is {count}; the model has {layers} layers, so give 1 to {layers - 1}")


def drop_layers(source: Path, target: Path, removed: Sequence[int]) -> None:
    """Write the model of the GGUF file `source` to `target` in F16, without the layers `removed`; raises OSError."""
    reader = open_gguf(source)
    layers = number(reader, "block_count")
    kept = [layer for layer in range(layers) if layer not in removed]
    places = {f"blk.{layer}.": f"blk.{place}." for place, layer in enumerate(kept)}

    def convert(name: str, values: Floats, kind: gguf.GGMLQuantizationType) -> Matrix | None:
        if name.startswith("blk."):
            block, _, rest = name.removeprefix("blk.").partition(".")
            if (place := places.get(f"blk.{block}.")) is None:
                return None
            name = place + rest
        return name, values, half(kind)

    changed = {f"{LLAMA}.block_count": len(kept)}
    copy_gguf(reader, target, gguf.LlamaFileType.MOSTLY_F16, convert, changed)


def _distil(
    whole: _Whole, pruned: Path, passages: Sequence[Passage], job: TrainingJob, report: Report
) -> tuple[Any, dict[str, float]]:
    """Train an adapter of the GGUF file `pruned` on the probabilities of `whole`; return the model with it, and the numbers.

    There are at most ``job.max_steps`` steps, and the run ends early after ``job.max_seconds``. Raises TrainingError if the
    loss is not finite, or the memory exceeds its bound.
    """
    torch.manual_seed(job.seed)
    student, _ = load_base(pruned)
    check_memory(job, _REMEDY)
    student = get_peft_model(
        student,
        LoraConfig(
            r=job.rank,
            lora_alpha=_ALPHA_PER_RANK * job.rank,
            target_modules=linear_modules(student),
            task_type="CAUSAL_LM",
        ),
    )
    weights = [weight for weight in student.parameters() if weight.requires_grad]
    optimizer = torch.optim.AdamW(weights, lr=job.learning_rate)
    # Constant after a few steps: `max_seconds` may end the run at any step.
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=0.1, total_iters=_WARM_UP)
    draw, began, losses = random.Random(job.seed), time.monotonic(), []  # noqa: S311 - an order that can be repeated
    for step in range(1, job.max_steps + 1):
        chosen = draw.sample(passages, min(job.batch_examples, len(passages)))
        loss = _divergence(whole, student, chosen, job)
        if not math.isfinite(loss.item()):
            raise TrainingError(f"the divergence is {loss.item()} after step {step}; lower --learning-rate")
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
        losses.append(loss.item())
        check_memory(job, _REMEDY)
        report("distilling", step, job.max_steps)
        if time.monotonic() - began > job.max_seconds:
            break
    return student, {
        "step": float(len(losses)),
        "steps": float(job.max_steps),
        "loss_before": losses[0],
        "loss": fmean(losses[-_LAST:]),
        "seconds": round(time.monotonic() - began, 3),
        "passages": float(len(passages)),
    }


def _divergence(whole: _Whole, student: Any, passages: Sequence[Passage], job: TrainingJob) -> torch.Tensor:
    """Return the Kullback-Leibler divergence of the student from the whole model, in nats per token of the completions."""
    ids, mask, answers = _batch(whole.tokenizer, passages, job.max_tokens)
    with torch.autocast("cpu", torch.bfloat16, enabled=job.bfloat16):
        with torch.no_grad():
            target = whole.model(input_ids=ids, attention_mask=mask).logits[:, :-1][answers[:, 1:]]
        made = student(input_ids=ids, attention_mask=mask).logits[:, :-1][answers[:, 1:]]
    return torch.nn.functional.kl_div(
        torch.log_softmax(made.float(), dim=-1),
        torch.log_softmax(target.float(), dim=-1),
        reduction="batchmean",
        log_target=True,
    )


def _batch(
    tokenizer: Any, passages: Sequence[Passage], max_tokens: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return token ids, attention mask, and which tokens are of a completion; padded on the right."""
    rows = []
    for passage in passages:
        messages = [{"role": "user", "content": passage.prompt}]
        text = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
        prompt = tokenizer.encode(text, add_special_tokens=False)[-max_tokens // 2 :]
        rows.append((prompt, tokenizer.encode(passage.completion, add_special_tokens=False)))
    width = min(max_tokens, max(len(prompt) + len(answer) for prompt, answer in rows))
    ids = torch.full((len(rows), width), tokenizer.pad_token_id)
    mask = torch.zeros((len(rows), width), dtype=torch.long)
    answers = torch.zeros((len(rows), width), dtype=torch.bool)
    for index, (prompt, answer) in enumerate(rows):
        tokens = (prompt + answer)[:width]
        ids[index, : len(tokens)] = torch.tensor(tokens)
        mask[index, : len(tokens)] = 1
        answers[index, len(prompt) : len(tokens)] = True
    return ids, mask, answers


def _angle(before: torch.Tensor, after: torch.Tensor) -> torch.Tensor:
    """Return the mean angle of two sets of vectors, as a share of pi."""
    cosine = torch.nn.functional.cosine_similarity(before.float(), after.float(), dim=-1)
    return torch.arccos(cosine.clamp(-1.0, 1.0)).mean() / math.pi
