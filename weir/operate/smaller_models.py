"""The parts of the stack that `weir models quantise`, `prune`, `compare` and `publish` need: the model's files, and the record on Kafka."""

import asyncio
from pathlib import Path

from serving.engine.gguf_file import find_gguf
from stream.loop.smaller.plan import Parent
from stream.loop.training.agent import publisher_for
from stream.loop.training.errors import TrainingError
from stream.loop.training.job import TrainingJob, VersionFolder, has_fast_bfloat16
from stream.loop.training.manifest import VersionManifest
from stream.loop.training.records import model_event
from stream.loop.training.run import mirror_version
from stream.loop.training.signing import verify_version
from stream.wire.keys import trained_version
from stream.wire.route_files import BASE
from weir.client import effective_kafka
from weir.home.ports import load_ports, ports_path
from weir.operate.trainer_setup import served_base, trainer_setup
from weir.settings import Settings

_ATTEMPTS = 2
#: Rank, passages of a batch and tokens of a passage in the distillation; the logits of a batch have 126 MB (vocabulary of 49,000).
_RANK, _BATCH, _TOKENS = 32, 4, 160


def parent_of(settings: Settings, name: str, tenant: str = "default") -> Parent:
    """Return the served model, or the version, `name`; `tenant` is that of a served model's new version.

    Raises TrainingError if it is unknown, does not verify, or has no GGUF file.
    """
    if trained_version(name):
        job = verify_version(settings.home, name).job
        weights = VersionFolder.of(settings.home, name).merged
        return _checked(
            Parent(
                tenant=job.tenant,
                model=job.model,
                version=name,
                weights=weights,
                base=Path(job.base),
                base_digest=job.base_digest,
            )
        )
    base = served_base(settings, name)
    weights = find_gguf(base.path) or base.path
    return _checked(
        Parent(tenant=tenant, model=name, version=BASE, weights=weights, base=base.path, base_digest=base.digest)
    )


def distillation(
    settings: Settings, parent: Parent, *, steps: int, learning_rate: float, max_seconds: float
) -> TrainingJob:
    """Return the job of the distillation after layers were removed from `parent`, with the threads and the memory of ``[train]``."""
    return parent.job(
        "prune",
        rank=_RANK,
        batch_examples=_BATCH,
        max_tokens=_TOKENS,
        max_steps=steps,
        max_seconds=max_seconds,
        learning_rate=learning_rate,
        threads=settings.train.threads,
        memory_bytes=settings.train.memory_mib << 20,
        bfloat16=has_fast_bfloat16(),
    )


def publish_manifest(settings: Settings, manifest: VersionManifest) -> None:
    """Publish the version on ``weir.models`` and copy it to MLflow; raises BrokerError or StackError if Kafka does not answer."""

    async def publish() -> None:
        await publisher_for(effective_kafka(settings), _ATTEMPTS)(model_event(settings.home, manifest))
        ports = load_ports(settings.home) if ports_path(settings.home).exists() else {}
        await mirror_version(trainer_setup(settings, ports), manifest.version)

    asyncio.run(publish())


def _checked(parent: Parent) -> Parent:
    if not parent.weights.is_file():
        raise TrainingError(
            f"{parent.model if parent.version == BASE else parent.version} has no GGUF file ({parent.weights}); only GGUF "
            "models can be made smaller: convert the model with llama.cpp's convert_hf_to_gguf.py"
        )
    return parent
