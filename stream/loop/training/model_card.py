"""The model card of a version, generated from what ran. It contains no text of the training data."""

from huggingface_hub import ModelCard, ModelCardData

from stream.loop.training.job import TrainingJob

__all__ = ["model_card"]

_TEMPLATE = """---
{{ card_data }}
---

# {{ version }}

LoRA adapter of `{{ job.model }}`, trained by Weir for tenant `{{ job.tenant }}` with method {{ job.method }}.

| | |
|---|---|
| Base | `{{ job.model }}`, SHA-256 `{{ job.base_digest }}` |
| Dataset | SHA-256 `{{ job.dataset_digest }}`, {{ numbers.rows | int }} rows |
| Retraining request | {{ job.retraining_id or "none: trained by hand" }} |
| Adapter | SHA-256 `{{ adapter_digest }}` |
| Merged weights | {{ merged }} |

## Training

| Setting | Value |
|---|---|
{% for name, value in settings.items() %}| {{ name }} | {{ value }} |
{% endfor %}
{{ numbers.step | int }} of {{ numbers.steps | int }} steps in {{ "%.0f" | format(numbers.seconds) }} s{{ stopped }}; loss of the last step {{ "%.4f" | format(numbers.loss) }}.

Made with {{ made_with }}.

## Use

Load the adapter with peft over exactly this base: an adapter belongs to the digest of its base.

## Limits

The gate of Weir compares this version with the version before it (`weir gate {{ version }}`). A version without a gate
result was not evaluated.
"""
_SHOWN = (
    "rank", "layers", "epochs", "max_steps", "batch_examples", "learning_rate", "max_tokens", "seed", "threads", "bfloat16",
)  # fmt: skip


def model_card(  # noqa: PLR0913 - the values of the card
    job: TrainingJob,
    version: str,
    *,
    adapter_digest: str,
    weights_digest: str,
    numbers: dict[str, float],
    libraries: dict[str, str],
) -> str:
    """Return the card in Markdown, in the format of the Hugging Face hub."""
    data = ModelCardData(
        base_model=job.model, library_name="peft", model_name=version, tags=["lora", job.method, "weir"]
    )
    card = ModelCard.from_template(
        data,
        template_str=_TEMPLATE,
        job=job,
        version=version,
        adapter_digest=adapter_digest,
        merged=f"SHA-256 `{weights_digest}`" if weights_digest else "none: the base is not a GGUF file of a Llama",
        numbers=numbers,
        settings={name: getattr(job, name) for name in _SHOWN},
        stopped=" (stopped at max_seconds)" if numbers["step"] < numbers["steps"] else "",
        made_with=", ".join(f"{name} {version}" for name, version in libraries.items()),
    )
    return str(card)
