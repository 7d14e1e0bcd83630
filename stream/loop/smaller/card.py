"""The model card of a quantised or pruned version, generated from its manifest."""

from huggingface_hub import ModelCard, ModelCardData

from stream.loop.training.manifest import VersionManifest

__all__ = ["smaller_card"]

_TEMPLATE = """---
{{ card_data }}
---

# {{ made.version }}

`{{ job.model }}` of tenant `{{ job.tenant }}`, made smaller by Weir: {{ how }}.

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

A smaller version answers worse than its parent. `weir models compare {{ parent }} {{ made.version }}` measures both; the gate of
Weir (`weir gate {{ made.version }}`) decides whether the difference matters. A version without a gate result was not evaluated.
"""
_SHOWN = ("rank", "batch_examples", "learning_rate", "max_tokens", "seed", "threads", "bfloat16")


def smaller_card(made: VersionManifest) -> str:
    """Return the card in Markdown, in the format of the Hugging Face hub."""
    job, smaller = made.job, made.smaller
    assert smaller is not None
    how = f"weights in {job.method}"
    if smaller.removed_layers:
        first, last = smaller.removed_layers[0], smaller.removed_layers[-1]
        how = f"layers {first} to {last} (from 0) removed, then a distillation"
    card = ModelCard.from_template(
        ModelCardData(base_model=job.model, model_name=made.version, tags=[job.method, "weir"]),
        template_str=_TEMPLATE,
        made=made,
        job=job,
        smaller=smaller,
        numbers=made.numbers,
        how=how,
        parent=job.model if job.parent == "base" else job.parent,
        settings={name: getattr(job, name) for name in _SHOWN},
        made_with=", ".join(f"{name} {release}" for name, release in made.libraries.items()),
    )
    return str(card)
