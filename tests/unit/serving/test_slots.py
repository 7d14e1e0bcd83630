"""The limit of the requests in progress."""

from contextlib import ExitStack

import pytest

from serving.http import Slots
from serving.openai_api.errors import ApiError


@pytest.mark.parametrize(("limit", "text"), [(1, "1 request is in progress"), (2, "2 requests are in progress")])
def test_a_request_above_the_limit_is_rejected_with_the_number_in_progress(limit, text):
    slots = Slots(limit)
    with ExitStack() as taken:
        for _ in range(limit):
            taken.enter_context(slots.take())
        with pytest.raises(ApiError, match=f"^{text}, the limit is {limit}; try again in a second"), slots.take():
            pass
    with slots.take():
        pass
