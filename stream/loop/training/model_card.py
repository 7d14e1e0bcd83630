"""The model card of a version, generated from its manifest. It contains no text of the training data."""

from typing import Any

from huggingface_hub import ModelCard, ModelCardData

from stream.loop.training.manifest import VersionManifest

_TRAINED = """---
{{ card_data }}
---

# {{ made.version }}

LoRA adapter of `{{ job.model }}`, trained by Weir for tenant `{{ job.tenant }}` with method {{ job.method }}.

| | |
|---|---|
| Base | `{{ job.model }}`, SHA-256 `{{ job.base_digest }}` |
| Dataset | SHA-256 `{{ job.dataset_digest }}`, {{ numbers.rows | int }} rows |
| Retraining request | {{ job.retraining_id or "none: trained by hand" }} |
| Adapter | SHA-256 `{{ made.adapter_digest }}` |
| Merged weights | {% if made.weights_digest %}SHA-256 `{{ made.weights_digest }}`{% else %}none: the base is not a GGUF file of a Llama{% endif %} |

## Training

| Setting | Value |
|---|---|
{% for name, value in settings.items() %}| {{ name }} | {{ value }} |
{% endfor %}
{{ numbers.step | int }} of {{ numbers.steps | int }} steps in {{ "%.0f" | format(numbers.seconds) }} s{{ " (stopped at max_seconds)" if numbers.step < numbers.steps }}; loss of the last step {{ "%.4f" | format(numbers.loss) }}.

Made with {{ made_with }}.

## Use

Load the adapter with peft over exactly this base: an adapter belongs to the digest of its base.

## Limits

The gate of Weir compares this version with the version before it (`weir gate {{ made.version }}`). A version without a gate
result was not evaluated.
"""
_SMALLER = """---
{{ card_data }}
---

# {{ made.version }}

`{{ job.model }}` of tenant `{{ job.tenant }}`, made smaller by Weir: {% if smaller.removed_layers -%}
layers {{ smaller.removed_layers[0] }} to {{ smaller.removed_layers[-1] }} (from 0) removed, then a distillation
{%- else %}weights in {{ job.method }}{% endif %}.

| | |
|---|---|
| Parent | {{ job.parent }}, SHA-256 `{{ smaller.source_digest }}` |
| Base | `{{ job.model }}`, SHA-256 `{{ job.base_digest }}` |
| Weights | SHA-256 `{{ made.weights_digest }}` |
| Size | {{ "%.1f" | format(numbers.size_bytes / 1048576) }} MiB; the parent has {{ "%.1f" | format(numbers.parent_size_bytes / 1048576) }} MiB |
{% if smaller.text_digest %}
## Distillation

{{ numbers.step | int }} of {{ numbers.steps | int }} steps in {{ "%.0f" | format(numbers.seconds) }} s, on passages with the SHA-256 `{{ smaller.text_digest }}`.
The divergence from the parent was {{ "%.3f" | format(numbers.loss_before) }} nats per token in the first step, and {{ "%.3f" | format(numbers.loss) }} on average in
the last 8 or fewer steps.

| Setting | Value |
|---|---|
{% for name, value in settings.items() %}| {{ name }} | {{ value }} |
{% endfor %}{% endif %}
Made with {{ made_with }}.

## Limits

A smaller version answers worse than its parent. `weir models compare {{ job.model if job.parent == "base" else job.parent }} {{ made.version }}` measures both; the gate of
Weir (`weir gate {{ made.version }}`) decides whether the difference matters. A version without a gate result was not evaluated.
"""
#: The settings in the card of a smaller version, and of a trained one.
_SMALLER_SETTINGS = ("rank", "batch_examples", "learning_rate", "max_tokens", "seed", "threads", "bfloat16")
_TRAINED_SETTINGS = (
    "rank", "layers", "epochs", "max_steps", "batch_examples", "learning_rate", "max_tokens", "seed", "threads", "bfloat16",
)  # fmt: skip


def model_card(made: VersionManifest) -> str:
    """Return the card in Markdown, in the format of the Hugging Face hub."""
    job, smaller = made.job, made.smaller
    of_adapter: dict[str, Any] = {"library_name": "peft"} if smaller is None else {}
    tags = [*(["lora"] if smaller is None else []), job.method, "weir"]
    card = ModelCard.from_template(
        ModelCardData(base_model=job.model, model_name=made.version, tags=tags, **of_adapter),
        template_str=_TRAINED if smaller is None else _SMALLER,
        made=made,
        job=job,
        smaller=smaller,
        numbers=made.numbers,
        settings={name: getattr(job, name) for name in (_TRAINED_SETTINGS if smaller is None else _SMALLER_SETTINGS)},
        made_with=", ".join(f"{name} {release}" for name, release in made.libraries.items()),
    )
    return str(card)
