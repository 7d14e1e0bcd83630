"""``POST /v1/feedback``: a rating or label for the id of a request or an alert; free text is rejected."""

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from serving.openai_api.errors import invalid
from serving.openai_api.request_model import Name, RequestModel

__all__ = ["FeedbackRequest"]

#: One word of a vocabulary; the pattern excludes sentences, and so personal data.
Word = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.:-]{1,64}$")]
Identifier = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,80}$")]


class FeedbackRequest(RequestModel):
    """The body of a feedback request; at least one of `rating` and `label` is required."""

    request_id: Identifier
    rating: Literal["up", "down"] | Annotated[int, Field(ge=1, le=5)] | None = None
    label: Word | None = None
    detector: Word | None = None
    alert_id: Identifier | None = None
    conversation_id: Name | None = None

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.rating is None and self.label is None:
            raise invalid("rating and label are both missing; send one of them.", param="rating")
        return self
