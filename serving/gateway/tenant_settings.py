"""Settings by tenant that only the gateway reads: the guard, and the questions that are repeated for the detector `consistency`."""

from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from stream.section import Section, by_tenant
from stream.wire.ids import in_sample

GuardDetector = Literal["toxicity", "pii"]
#: The tables of settings by name or pattern of a tenant, in the order of the file.
Tenants = Mapping[str, Mapping[str, Any]]


class GuardSettings(Section):
    """``[tenants."NAME".guard]``: checks an answer while the model generates it."""

    mode: Literal["off", "observe", "stop"] = Field(
        "off", description="stop: end an answer at the first finding; observe: only record the finding"
    )
    detectors: tuple[GuardDetector, ...] = Field(
        ("toxicity", "pii"), min_length=1, description="`toxicity`, `pii`: what to look for"
    )
    threshold: dict[GuardDetector, Annotated[float, Field(gt=0, le=1)]] = Field(
        default_factory=dict,
        description="lowest score of a finding, by detector; defaults: toxicity .92, pii .6",
    )
    every_tokens: Annotated[int, Field(ge=1, le=1024)] = Field(16, description="tokens between two checks of an answer")


class ConsistencySettings(Section):
    """``[tenants."NAME".consistency]``: asks the model again, so that the detector `consistency` can compare its answers."""

    share: Annotated[float, Field(ge=0, le=1)] = Field(
        0.0,
        description="share of the requests that the gateway sends to the model a second time; 0: none. `consistency` must be in detectors.output",
    )
    samples: Annotated[int, Field(ge=2, le=16)] = Field(
        4, description="number of further answers to each of these requests"
    )
    temperature: Annotated[float, Field(gt=0, le=2)] = Field(1.0, description="temperature of the further answers")


def guard_settings(tenants: Tenants) -> Callable[[str], GuardSettings]:
    """Return a function from tenant to its guard: the defaults, overridden by each matching table in order."""
    return by_tenant(GuardSettings, tenants, "guard")


def guard_detectors(tenants: Tenants) -> frozenset[str]:
    """Return the detectors that the guard of any tenant may use; empty if all guards are off."""
    guards = [GuardSettings.model_validate(table["guard"]) for table in tenants.values() if "guard" in table]
    if all(guard.mode == "off" for guard in guards):
        return frozenset()
    return frozenset(name for guard in guards for name in guard.detectors)


def consistency_settings(tenants: Tenants) -> Callable[[str], ConsistencySettings]:
    """Return a function from tenant to its settings: the defaults, overridden by each matching table in order."""
    return by_tenant(ConsistencySettings, tenants, "consistency")


def is_asked_again(request_id: str, share: float) -> bool:
    """Return whether a request is in the share that is asked again; the result depends only on its id."""
    return in_sample(request_id, share, b"weir-again")
