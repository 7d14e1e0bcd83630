"""Settings of the questions that serving repeats for the detector `consistency`, by tenant."""

from typing import Annotated

from pydantic import Field

from serving.settings import table_for
from stream.section import Section
from stream.wire.ids import in_sample


def is_asked_again(request_id: str, share: float) -> bool:
    """Return whether a request is in the share that is asked again; the result depends only on its id."""
    return in_sample(request_id, share, b"weir-again")


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


class ConsistencyRules(Section):
    """The table of each tenant name or pattern, in the order of the file."""

    tables: dict[str, ConsistencySettings] = Field(default_factory=dict)

    def for_tenant(self, name: str) -> ConsistencySettings:
        """Return the settings of tenant `name`: the defaults, overridden by each matching table in order."""
        return ConsistencySettings.model_validate(table_for(self.tables, name))
