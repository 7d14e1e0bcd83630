"""The demo's reviewers: they send better answers to the questions about software."""

import asyncio

from weir.demo.prompts import BETTER, NEW_TOPIC
from weir.demo.traffic import Answer, Traffic

__all__ = ["Reviews"]

_OK = 200


class Reviews:
    """Corrections of the answers to the new topic, each question once; `accepted` is their number."""

    def __init__(self, traffic: Traffic) -> None:
        self._traffic = traffic
        self._better = dict(zip(NEW_TOPIC, BETTER, strict=True))
        self._sent: set[asyncio.Task[bool]] = set()
        self.accepted = 0

    def add(self, answer: Answer) -> None:
        """Send the better answer, if there is one, without waiting for it."""
        better = self._better.pop(answer.prompt, "") if answer.status == _OK else ""
        if better:
            self._sent.add(asyncio.create_task(self._traffic.correct(answer.request_id, better)))

    async def finish(self) -> None:
        """Wait until all corrections are answered."""
        self.accepted += sum(await asyncio.gather(*self._sent))
        self._sent.clear()
