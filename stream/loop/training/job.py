"""The specification of a training run, its folders, and the lines that its process prints."""

import hashlib
import os
from pathlib import Path
from typing import Any, Literal

import msgspec

from detectors.models.compute import best_precision
from stream.loop.settings import TenantTrainSettings, TrainSettings
from stream.loop.training.errors import TrainingError

_VERSION_CHARACTERS = 12
_GPU = Path("/dev/nvidiactl")
_PAGE = os.sysconf("SC_PAGE_SIZE")


class RayCluster(msgspec.Struct, frozen=True, kw_only=True):
    """The Ray cluster of a run: `address` is ``host:port``, and each of the `workers` uses a GPU if `use_gpu` is true.

    `storage` is a folder or URL that all nodes can write; "" is the folder of the run.
    """

    address: str
    workers: int
    use_gpu: bool = False
    storage: str = ""


class TrainingJob(msgspec.Struct, frozen=True, kw_only=True):
    """The inputs that determine the weights of a run; equal jobs with ``threads = 1`` make equal adapters on one machine.

    Parameters
    ----------
    tenant, model, parent
        The tenant and model to train, and the version from which the training starts ("" is the base).
    base, base_digest
        Folder or GGUF file of the base model, and the SHA-256 of its published weights.
    dataset, dataset_digest
        Folder with ``train.parquet``, and the dataset's digest.
    retraining_id
        The retraining request of the run; "" for a run by hand.
    method
        ``sft`` or ``kto``; or how a smaller version is made: ``int8``, ``int4`` or ``prune`` (:mod:`stream.loop.smaller`).
    layers
        Number of last layers that are adapted; 0 means all layers.
    bfloat16
        Whether matrix products are computed in bfloat16.
    memory_bytes
        Resident memory of a process, in bytes, above which the run fails.
    ray
        The Ray cluster whose workers train; None means one process on this machine.
    """

    tenant: str
    model: str
    base: str
    base_digest: str
    dataset: str
    dataset_digest: str
    parent: str = ""
    retraining_id: str = ""
    method: Literal["sft", "kto", "int8", "int4", "prune"] = "sft"
    rank: int = 8
    layers: int = 0
    epochs: int = 1
    max_steps: int = 0
    batch_examples: int = 8
    learning_rate: float = 2e-4
    max_tokens: int = 512
    max_seconds: float = 1800.0
    checkpoint_seconds: float = 30.0
    seed: int = 0
    threads: int = 1
    bfloat16: bool = False
    memory_bytes: int = 4 << 30
    ray: RayCluster | None = None

    @classmethod
    def of_settings(cls, train: TrainSettings, rules: TenantTrainSettings, **given: Any) -> "TrainingJob":
        """Return the job of the settings `train` and of a tenant's `rules`; `given` are the other fields.

        Raises TrainingError if the workers of a Ray cluster cannot have equal shares of a step.
        """
        cluster = None
        if train.cluster == "ray":
            if rules.batch_examples % train.workers:
                raise TrainingError(
                    f"batch_examples is {rules.batch_examples}, which {train.workers} workers cannot share equally; set"
                    " [tenants.NAME.loop.train] batch_examples to a multiple of [train] workers"
                )
            if rules.method == "kto" and rules.batch_examples < 2 * train.workers:
                raise TrainingError(
                    f"batch_examples is {rules.batch_examples} with method kto, which compares at least 2 examples on each of"
                    f" {train.workers} workers; set [tenants.NAME.loop.train] batch_examples to at least {2 * train.workers}"
                )
            cluster = RayCluster(
                address=train.address, workers=train.workers, use_gpu=train.use_gpu, storage=train.storage
            )
        bounds: dict[str, Any] = {"threads": train.threads, "memory_bytes": train.memory_mib << 20, "ray": cluster}
        return cls(**rules.model_dump(), **bounds, **given)

    def weights_key(self) -> str:
        """Return a digest of the fields that decide the weights: a run continues only from checkpoints with the same key."""
        bounds = dict.fromkeys(("max_seconds", "checkpoint_seconds", "memory_bytes", "base", "dataset", "ray"))
        deciding = {name: value for name, value in msgspec.to_builtins(self).items() if name not in bounds}
        if self.ray is not None:
            deciding |= {"workers": self.ray.workers, "use_gpu": self.ray.use_gpu}
        return hashlib.sha256(msgspec.json.encode(deciding, order="sorted")).hexdigest()


class Progress(msgspec.Struct, frozen=True, kw_only=True, tag="progress", tag_field="line"):
    """Progress of a run after `step` of `steps`; `seconds` include the time before an interruption."""

    step: int
    steps: int
    loss: float
    seconds: float

    def numbers(self) -> dict[str, float]:
        """Return the progress as the numbers of a record."""
        return {name: float(value) for name, value in msgspec.structs.asdict(self).items()}


class Trained(msgspec.Struct, frozen=True, kw_only=True, tag="trained", tag_field="line"):
    """The version that the run made, and its numbers."""

    version: str
    numbers: dict[str, float]


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """The adapter's folder and the numbers of the run; `adapter` is None if SIGTERM interrupted the run."""

    adapter: Path | None
    numbers: dict[str, float]


class Failed(msgspec.Struct, frozen=True, kw_only=True, tag="failed", tag_field="line"):
    """The reason why the run failed; another run would fail too."""

    reason: str


Line = Progress | Trained | Failed


class RunFolder:
    """The folder of one run: ``job.json``, ``checkpoints/``, ``draft/`` and ``train.log``."""

    def __init__(self, path: Path) -> None:
        self.path = path
        #: The specification.
        self.job = path / "job.json"
        #: Complete checkpoints, and one that is being written.
        self.checkpoints, self.draft = path / "checkpoints", path / "draft"
        #: Checkpoints of Ray workers, if ``[train] storage`` is empty.
        self.ray = path / "ray"
        #: The trained adapter.
        self.adapter = path / "adapter"
        #: The lock of the process that trains, and its standard error.
        self.lock, self.log = path / "lock", path / "train.log"

    @classmethod
    def of(cls, home: Path, name: str) -> "RunFolder":
        """Return the folder of the run `name`, a retraining id or a dataset's digest, in the stack's home."""
        return cls(home / "loop" / "runs" / name)

    def environment(self) -> dict[str, str]:
        """Return the variables to set before the libraries are imported: no telemetry, no look-ups on the hub, no cache elsewhere."""
        return {
            "HF_HUB_OFFLINE": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HOME": str(self.path / "hf"),
            "TOKENIZERS_PARALLELISM": "false",
            "OMP_WAIT_POLICY": "PASSIVE",
        }

    def read(self) -> TrainingJob:
        """Return the job; raises OSError or msgspec.DecodeError."""
        return msgspec.json.decode(self.job.read_bytes(), type=TrainingJob)


class VersionFolder:
    """The folder of one model version: ``adapter/``, ``model.gguf``, ``manifest.json``, ``card.md``, ``model.sig``.

    A smaller version, quantised or pruned, has no ``adapter/``.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        #: The adapter, in the format of peft.
        self.adapter = path / "adapter"
        #: The adapter's weights, whose digest names a trained version.
        self.weights = self.adapter / "adapter_model.safetensors"
        #: The merged weights, only for a base that is a GGUF file; or the weights of a smaller version, whose digest names it.
        self.merged = path / "model.gguf"
        #: The digests and what the version was made from.
        self.manifest = path / "manifest.json"
        #: The model card.
        self.card = path / "card.md"
        #: The signature of all other files.
        self.signature = path / "model.sig"

    @classmethod
    def of(cls, home: Path, version: str) -> "VersionFolder":
        """Return the folder of `version` in the stack's home."""
        return cls(home / "loop" / "models" / version)


def version_of(digest: str) -> str:
    """Return the version of a model whose adapter, or whose weights without an adapter, have this SHA-256.

    Examples
    --------
    >>> version_of("b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53")
    'm_b179c9523d0e'
    """
    return f"m_{digest[:_VERSION_CHARACTERS]}"


def has_fast_bfloat16() -> bool:
    """Return whether this machine multiplies matrices in bfloat16 faster than in float32: with a GPU, or the processor's own instructions."""
    return _GPU.exists() or best_precision() == "bfloat16"


def check_memory(job: TrainingJob, remedy: str) -> None:
    """Raise TrainingError if this process has more resident memory than ``job.memory_bytes``; `remedy` ends the message."""
    used = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * _PAGE
    if used > job.memory_bytes:
        raise TrainingError(
            f"the run uses {used >> 20} MiB, the limit is {job.memory_bytes >> 20} MiB; raise [train] memory_mib{remedy}"
        )
