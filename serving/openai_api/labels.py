"""``POST /v1/labels``: delayed judgments whether answers were correct, by systems or reviewers."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from serving.openai_api.feedback import Identifier, RequestId, Word
from serving.openai_api.request_model import Name, RequestModel
from stream.wire import LabelRecord
from stream.wire.ids import label_id
from stream.wire.times import parse_time

#: The year 2096. A label of a later time could not be replaced by the next one.
_LATEST = 4e9


class Label(RequestModel):
    """The judgment of one answer: `value` in [0, 1], or `correct`.

    `at` is the time of the judgment, in seconds since the epoch or as RFC 3339. `source` names the system that made it.
    Without `label_id`, a later label of the same source for the same request replaces this label.
    """

    request_id: RequestId
    value: Annotated[float, Field(ge=0, le=1)] | None = None
    correct: bool | None = None
    at: Annotated[float, Field(ge=0, le=_LATEST)] | str | None = None
    source: Word | None = None
    label_id: Identifier | None = None
    conversation_id: Name | None = None

    @model_validator(mode="after")
    def _is_one_judgment(self) -> Self:
        if (self.value is None) == (self.correct is None):
            raise ValueError("send either value, from 0 to 1, or correct, true or false")
        if isinstance(self.at, str):
            try:
                is_late = parse_time(self.at) > _LATEST
            except (ValueError, OverflowError):
                raise ValueError(
                    "at is not a time; send seconds since the epoch, or RFC 3339 with a zone, such as 2026-01-31T12:00:00Z"
                ) from None
            if is_late:
                raise ValueError(f"at is {self.at[:10]}, after the year 2096; send the time of the judgment")
        return self

    def record(self, *, tenant: str, principal: str, now: float) -> LabelRecord:
        """Return the record of this label; `now` is the time of a judgment without `at`."""
        at = parse_time(self.at) if isinstance(self.at, str) else now if self.at is None else self.at
        source = self.source or ""
        return LabelRecord(
            label_id=self.label_id or label_id(tenant, self.request_id, source),
            request_id=self.request_id,
            tenant=tenant,
            at=at,
            value=float(bool(self.correct)) if self.value is None else self.value,
            source=source,
            principal=principal,
        )


class LabelsRequest(RequestModel):
    """The body: at most 1,000 labels."""

    labels: Annotated[list[Label], Field(min_length=1, max_length=1000)]
