"""The parent and the settings of a quantised or pruned version."""

from pathlib import Path

import msgspec

from stream.loop.training.job import TrainingJob


class Parent(msgspec.Struct, frozen=True, kw_only=True):
    """The model that is made smaller.

    Parameters
    ----------
    tenant, model
        The tenant and the model whose requests the version may answer.
    version
        The version, or ``base``.
    weights
        The GGUF file of the version.
    base, base_digest
        Files of the base of the model, and the SHA-256 of its published weights.
    """

    tenant: str
    model: str
    version: str
    weights: Path
    base: Path
    base_digest: str

    def job(self, method: str, **given: object) -> TrainingJob:
        """Return the job that makes a version of this model, without a dataset; `given` are its other fields."""
        fields = {
            "tenant": self.tenant,
            "model": self.model,
            "parent": self.version,
            "base": str(self.base),
            "base_digest": self.base_digest,
            "dataset": "",
            "dataset_digest": "",
            "method": method,
        }
        return msgspec.convert(fields | given, TrainingJob)


class Pruning(msgspec.Struct, frozen=True, kw_only=True):
    """The number of removed layers, the job of the distillation, and its JSON Lines file (None: the built-in text)."""

    layers: int
    job: TrainingJob
    text: Path | None = None
