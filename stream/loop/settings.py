"""Settings of the closed loop: ``[tenants."NAME".loop]`` by tenant, and ``[train]`` of the trainer process."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StringConstraints, field_validator, model_validator

from stream.section import Section, by_tenant, check_order
from stream.settings import Count, Positive, Seconds, Share

_FromZeroToOne = Annotated[float, Field(ge=0, lt=1)]
_Language = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z]{2,3}$", to_lower=True)]
_Alpha = Annotated[float, Field(gt=0, lt=1)]


class DatasetSettings(Section):
    """``[tenants."NAME".loop.dataset]``: which rows of the log become a dataset."""

    training: bool = Field(True, description="false: no request of this tenant is used for training")
    exclude_keys: tuple[str, ...] = Field(
        (),
        description="ids of API keys whose requests and reviews are not used for training; also applies to the keys that LiteLLM reports under such a key",
    )
    min_examples: Count = Field(
        32, description="minimum rows to train on, without copies; with fewer rows, no dataset is made"
    )
    max_examples: Count = Field(500, description="maximum rows to train on, without copies: the size of the coreset")
    max_per_principal: Count = Field(50, description="maximum rows that one API key requested or reviewed")
    max_per_answer: Count = Field(
        5, description="maximum rows whose answers are near duplicates; limits the effect of a planted answer"
    )
    min_principals: Count = Field(
        3, description="minimum API keys that reviewed the rows; with fewer keys, no dataset is made"
    )
    feedback_min_principals: Count = Field(
        5,
        description="minimum API keys that sent ratings; with fewer keys, no rating is used, because such feedback is not representative",
    )
    near_duplicate: Share = Field(
        0.8, description="Jaccard similarity of word triples; texts with at least this value are near duplicates"
    )
    languages: tuple[_Language, ...] = Field(
        (), description="languages to keep, as ISO 639-1 codes (else 639-3); empty: all"
    )
    min_characters: Count = Field(1, description="minimum characters of an answer")
    max_characters: Count = Field(8_192, description="maximum characters of a prompt and of an answer")
    pii: Literal["mask", "drop"] = Field(
        "mask",
        description="what to do with personal data; mask: replace it by its type (`<EMAIL_ADDRESS>`); drop: leave the row out",
    )
    eval_share: _FromZeroToOne = Field(
        0.1, description="maximum share of the rows that are held out for the gate, in whole conversations"
    )
    clusters: Count = Field(16, description="maximum clusters of embeddings from which the coreset is drawn")
    replay_share: _FromZeroToOne = Field(
        0.2,
        description="maximum share of old rows, from the dataset of the promoted version, so that the new version does not lose what the promoted one learned",
    )
    augment: Literal["none", "lower"] = Field(
        "none", description="lower: add a marked copy of each new row with a lower-case prompt"
    )

    @model_validator(mode="after")
    def _rows_are_possible(self) -> Self:
        check_order(self, "min_examples", "max_examples")
        check_order(self, "min_characters", "max_characters")
        return self


class TenantTrainSettings(Section):
    """``[tenants."NAME".loop.train]``: how an adapter is trained."""

    method: Literal["sft", "kto"] = Field(
        "sft", description="what to train on; sft: corrected and approved answers; kto: also rated answers"
    )
    rank: Annotated[int, Field(ge=1, le=256)] = Field(8, description="rank of the LoRA adapter")
    layers: Annotated[int, Field(ge=0)] = Field(
        0, description="number of last layers that the adapter changes; 0: all layers"
    )
    epochs: Count = Field(1, description="maximum passes over the rows")
    batch_examples: Count = Field(8, description="rows in one step")
    learning_rate: Positive = Field(2e-4, description="learning rate of AdamW")
    max_tokens: Annotated[int, Field(ge=16)] = Field(512, description="maximum tokens of a row; longer rows are cut")
    max_seconds: Seconds = Field(
        1_800,
        description="time limit of a training run; the run then ends, and its present adapter becomes the version",
    )
    checkpoint_seconds: Seconds = Field(30, description="time between two checkpoints")
    seed: Annotated[int, Field(ge=0, lt=2**32)] = Field(
        0, description="random seed for the order of the rows and for dropout"
    )


class GateSettings(Section):
    """``[tenants."NAME".loop.gate]``: what a challenger must prove before it receives requests."""

    alpha: _Alpha = Field(0.05, description="maximum probability that a challenger worse by the margin passes")
    margin: _Alpha = Field(
        0.15,
        description="difference of the mean scores by which a challenger may be worse than the champion, in each family of prompts",
    )
    max_seconds: Seconds = Field(
        600, description="time limit of a gate run; without a decision by then, the gate refuses the version"
    )
    max_tokens: Count = Field(64, description="maximum tokens of an answer in the gate")
    eval_set: str = Field(
        "", description="JSON Lines file of tasks; empty: Weir's task set; datasets leave out similar prompts"
    )
    safety_set: str = Field(
        "",
        description="JSON Lines file of safety prompts; empty: Weir's safety set; datasets leave out similar prompts",
    )


class DeliverySettings(Section):
    """``[tenants."NAME".loop.delivery]``: shadow, canary, promotion and rollback of a blessed version."""

    shadow_share: Annotated[float, Field(ge=0, le=1)] = Field(
        0.1,
        description="share of the requests that the challenger also answers in shadow; 0: no shadow (not with `steps = [100]`)",
    )
    steps: tuple[Annotated[int, Field(ge=1, le=100)], ...] = Field(
        (5, 25, 100),
        min_length=1,
        description="percentage of the conversations that the challenger answers, for each step; rising, the last is 100",
    )
    min_events: Count = Field(50, description="minimum verdicts on the challenger in each step")
    alpha: _Alpha = Field(0.05, description="maximum probability that a challenger worse by the margin is promoted")
    margin: _Alpha = Field(
        0.05, description="how much higher the challenger's share of flagged answers may be than the champion's"
    )
    rollback_alpha: _Alpha = Field(
        0.01, description="maximum probability that a challenger that is not worse is rolled back"
    )
    rollback_seconds: Seconds = Field(
        60,
        description="delivery waits for a late source for at most a quarter of this time; the smallest value of all tenants applies to all",
    )
    hold_seconds: Seconds = Field(86_400, description="event time without a decision after which the canary expires")

    @field_validator("steps")
    @classmethod
    def _rising(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if list(value) != sorted(set(value)) or value[-1] != 100:
            raise ValueError("steps must rise and end with 100, such as [5, 25, 100]")
        return value

    @model_validator(mode="after")
    def _tested(self) -> Self:
        if not self.shadow_share and len(self.steps) == 1:
            raise ValueError(
                "steps is [100], and shadow_share is 0, so nothing would test a version; set shadow_share, or add a step"
            )
        return self


class LoopSettings(Section):
    """``[tenants."NAME".loop]``: the closed loop of a tenant's models."""

    mode: Literal["propose", "approve", "auto"] = Field(
        "propose",
        description="propose: only request retraining; approve: train after `weir retraining approve`; auto: train immediately",
    )
    approvers: tuple[str, ...] = Field(
        (), description="ids of API keys that may approve; empty: every key with the scope approve"
    )
    dataset: DatasetSettings = Field(DatasetSettings(), description="which rows of the log become a dataset")
    train: TenantTrainSettings = Field(TenantTrainSettings(), description="how an adapter is trained")
    gate: GateSettings = Field(GateSettings(), description="what a challenger must prove")
    delivery: DeliverySettings = Field(DeliverySettings(), description="shadow, canary, promotion and rollback")


class TrainSettings(Section):
    """``[train]``: the trainer process, which makes a model version from a retraining request."""

    enabled: bool = Field(False, description="run the trainer with the stack")
    threads: Count = Field(1, description="torch threads of a run; with 1, equal runs give equal weights")
    memory_mib: Annotated[int, Field(ge=256)] = Field(4_096, description="memory limit of a training run, in MiB")
    lease_seconds: Annotated[Seconds, Field(le=86_400)] = Field(
        120, description="time without progress after which another trainer may continue the run; at most a day"
    )
    cluster: Literal["local", "ray"] = Field(
        "local", description="where a run trains; local: in a process on this machine; ray: in workers of a Ray cluster"
    )
    address: str = Field(
        "", description="`host:port` of the Ray cluster; it must not be the cluster that serves models"
    )
    workers: Count = Field(1, description="number of Ray workers; each computes an equal share of the rows of a step")
    use_gpu: bool = Field(False, description="true: each Ray worker uses one GPU")
    storage: str = Field(
        "",
        description="folder or URL for checkpoints that every node of the Ray cluster can write; empty: the folder of the run",
    )

    @model_validator(mode="after")
    def _ray_has_its_keys(self) -> Self:
        if self.cluster == "ray" and not self.address:
            raise ValueError("address is empty, and cluster is ray; set address to the host:port of the Ray cluster")
        given = next((name for name in ("address", "use_gpu", "storage") if getattr(self, name)), None)
        if given is not None and self.cluster == "local":
            raise ValueError(
                f"{given} is set, but cluster is local, which uses no Ray cluster; set cluster to ray, or leave {given} out"
            )
        return self


class DeliveryProcessSettings(Section):
    """``[delivery]``: the process that decides which version answers; its rules are ``[tenants."NAME".loop.delivery]``."""

    enabled: bool = Field(False, description="run delivery with the stack")


def loop_settings(tenants: Mapping[str, Mapping[str, Any]], tenant: str) -> LoopSettings:
    """Return the loop settings of `tenant`: the defaults, overridden by each matching pattern in order."""
    return by_tenant(LoopSettings, tenants, "loop")(tenant)
