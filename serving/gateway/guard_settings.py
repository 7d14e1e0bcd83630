"""Settings of the guard, by tenant."""

from typing import Annotated, Literal

from pydantic import Field

from serving.settings import table_for
from stream.section import Section

GuardDetector = Literal["toxicity", "pii"]


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


class GuardRules(Section):
    """The guard's table of each tenant name or pattern, in the order of the file."""

    tables: dict[str, GuardSettings] = Field(default_factory=dict)

    def for_tenant(self, name: str) -> GuardSettings:
        """Return the settings of tenant `name`: the defaults, overridden by each matching table in order."""
        return GuardSettings.model_validate(table_for(self.tables, name))

    @property
    def detectors(self) -> tuple[str, ...]:
        """The detectors that the guard of any tenant may use; empty if all guards are off."""
        if all(table.mode == "off" for table in self.tables.values()):
            return ()
        return tuple(sorted({name for table in self.tables.values() for name in table.detectors}))
