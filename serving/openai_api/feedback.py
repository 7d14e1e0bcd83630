"""``POST /v1/feedback``: a rating, a label, a comment or a better answer for a request, and optionally for an alert about it."""

import re
import uuid
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, Field, StringConstraints, field_validator, model_validator

from serving.openai_api.errors import ApiError, invalid
from serving.openai_api.request_model import Name, RequestModel, got

#: One word of a vocabulary; the pattern excludes sentences, and so personal data.
Word = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.:-]{1,64}$")]
Identifier = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_-]{1,80}$")]
#: The `id` in the body of an answer: a prefix and the request id without hyphens (:class:`serving.openai_api.answer.Answer`).
_BODY_ID = re.compile(r"(?:chatcmpl|cmpl)-([0-9a-f]{32})")


def _without_prefix(given: str) -> str:
    found = _BODY_ID.fullmatch(given)
    return str(uuid.UUID(found[1])) if found else given


#: The id of a request: the header ``x-request-id`` of its answer, or the `id` in the body of its answer.
RequestId = Annotated[Identifier, AfterValidator(_without_prefix)]
#: The best rating in numbers; the worst is 1.
_MOST = 5
#: Most bytes of a text in UTF-8.
COMMENT_BYTES, CORRECTION_BYTES = 4 * 1024, 64 * 1024


class FeedbackRequest(RequestModel):
    """The body of a feedback request; at least one of rating, label, comment, correction and `approved` is required.

    `comment` and `correction` (a better answer) are content. `approved` states that a reviewer approves the answer as it is.
    """

    request_id: RequestId
    rating: Literal["up", "down"] | Annotated[int, Field(ge=1, le=_MOST)] | None = None
    label: Word | None = None
    detector: Word | None = None
    alert_id: Identifier | None = None
    conversation_id: Name | None = None
    comment: str | None = None
    correction: str | None = None
    approved: bool | None = None

    @field_validator("rating", mode="before")
    @classmethod
    def _rating(cls, value: Any) -> Any:
        """Check a rating, so that the error names the whole rule; pydantic's names one alternative."""
        is_number = isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= _MOST
        if value is None or is_number or (isinstance(value, str) and value in {"up", "down"}):
            return value
        raise invalid(f"rating: send 'up', 'down' or a whole number from 1 to {_MOST}{got(value)}.", param="rating")

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.rating is None and self.label is None and not self.has_content:
            raise invalid(
                "rating, label, comment, correction and approved are all missing; send one of them.", param="rating"
            )
        _check_bytes("comment", self.comment, COMMENT_BYTES)
        _check_bytes("correction", self.correction, CORRECTION_BYTES)
        if self.correction and self.approved:
            raise invalid(
                "approved and correction exclude each other; approve the answer as it is, or correct it.",
                param="approved",
            )
        return self

    @property
    def has_content(self) -> bool:
        """Whether there is a comment, a correction or an approval."""
        return bool(self.comment or self.correction or self.approved)


def _check_bytes(param: str, text: str | None, limit: int) -> None:
    size = len((text or "").encode())
    if size > limit:
        raise ApiError(
            413,
            f"{param} has {size} bytes, the limit is {limit}; send a shorter text.",
            code="request_too_large",
            param=param,
        )
