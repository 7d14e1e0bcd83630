"""The demo's reviewers: they send better answers to the questions about software."""

import asyncio
import time
from contextlib import aclosing

from stream.content import readable_content
from stream.kafka.tail import Tail
from stream.settings import KafkaSettings
from stream.wire import CorrectionRecord
from weir.demo.prompts import BETTER, NEW_TOPIC
from weir.demo.traffic import Answer, Traffic
from weir.errors import StackError

_OK = 200
_LIMIT_SECONDS = 60.0
#: The broker's clock may differ from that of the demo.
_EARLIER_SECONDS = 5.0


class Reviews:
    """Corrections of the answers to the new topic, each question once; `accepted` are the ids of their requests."""

    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic
        self._better = dict(zip(NEW_TOPIC, BETTER, strict=True))
        self._sent: dict[str, asyncio.Task[bool]] = {}
        self.began = time.time()
        self.accepted: frozenset[str] = frozenset()

    def add(self, answer: Answer) -> None:
        """Send the better answer, if there is one, without waiting for it."""
        better = self._better.pop(answer.prompt, "") if answer.status == _OK else ""
        if better:
            self._sent[answer.request_id] = asyncio.create_task(self._traffic.correct(answer.request_id, better))

    async def finish(self) -> None:
        """Wait until all corrections are answered."""
        await asyncio.gather(*self._sent.values())
        self.accepted = frozenset(name for name, sent in self._sent.items() if sent.result())


async def delivered(
    kafka: KafkaSettings, requests: frozenset[str], since: float, limit_seconds: float = _LIMIT_SECONDS
) -> None:
    """Wait until Kafka has a correction of each of `requests`, written after `since` (seconds since the epoch).

    A gateway accepts a correction into its spool, and the shipper sends it to Kafka. Raises StackError after
    `limit_seconds`, and BrokerError if no broker answers.
    """
    tail = Tail(kafka.client_options(), kafka.names.inference, since=since - _EARLIER_SECONDS, follow=True)
    left = set(requests)
    try:
        async with asyncio.timeout(limit_seconds), aclosing(tail.records()) as records:
            while left:
                record = await anext(records)
                event = readable_content(record.value, record.headers)
                if event is not None and isinstance(event.data, CorrectionRecord):
                    left.discard(event.data.request_id)
    except TimeoutError:
        raise StackError(
            f"{len(left)} of {len(requests)} corrections are not in {kafka.names.inference} after {limit_seconds:.0f} s; "
            "see the shipper in `weir status`"
        ) from None
