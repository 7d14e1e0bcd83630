"""Wait for the last verdicts of the demo's requests, so that its counts are complete."""

import asyncio
import time
from collections.abc import Callable, Collection

from stream.errors import StreamError
from stream.ledger.queries.request_story import RequestStory
from weir.operate.request_story import shown

LIMIT_SECONDS = 30.0
_POLL_SECONDS = 0.5


async def last_verdicts(
    request: Callable[[str], RequestStory | None],
    requests: Collection[str],
    counted: Callable[[], int],
    limit_seconds: float = LIMIT_SECONDS,
) -> int:
    """Wait until all expected verdicts of `requests` exist and `counted` returns at least their number.

    `request` returns a request from the ledger, which has the expected verdicts. Return the number of requests with missing
    verdicts after `limit_seconds`.
    """
    left, total = set(requests), 0
    deadline = time.monotonic() + limit_seconds
    while True:
        for name in list(left):
            try:
                story = await asyncio.to_thread(request, name)
            except StreamError:  # the ledger is busy, or there is none in this home
                break
            if story is not None and story.events is not None and story.events.end is not None:
                found = shown(story)
                if not found.pending:
                    left.remove(name)
                    total += len(found.verdicts)
        if not left and counted() >= total:
            return 0
        if time.monotonic() > deadline:
            return len(left)
        await asyncio.sleep(_POLL_SECONDS)
