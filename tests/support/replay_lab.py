"""A log that the real score and watch apps record, and the command that replays it."""

import time
import tomllib

from stream.kafka.admin import list_topics
from stream.stages.score.model_process import ModelSpec
from stream.wire import AlertRecord, Tick
from support.commands import Commands
from support.events import tick
from support.score_stack import ScoreLab, request
from support.stage_lab import Q

SECONDS = 300
_PIECE_SECONDS = 20
CONFIG = """
[detectors.options.pii]
entities = false

[detectors.variants."pii@strict"]
threshold = 0.8

[detectors.variants."drift@calm"]
reference_events = 2000

[tenants."*"]
bucket_seconds = 5
drift = { reference_events = 20, alarm_every_events = 20 }
alerts = { resolve_after_seconds = 30 }
"""
#: Requests with certain findings, and with findings that the strict variant does not flag.
CERTAIN, WEAK = (10, 70, 71), (40, 105)
PII = ModelSpec(threads=1, detectors=("pii",), options={"pii": {"entities": False}}, embedder=None)


class ReplayLab(ScoreLab):
    """Weir's topics with a log of the last five minutes."""

    def __init__(self, bootstrap, directory) -> None:
        super().__init__(bootstrap, directory, tomllib.loads(CONFIG)["tenants"])
        self.start = float(int(time.time()) - SECONDS - 60)
        (directory / "weir.toml").write_text(CONFIG)
        self.commands = Commands(directory, self.kafka)

    async def fill(self, first: int = 0, last: int = SECONDS) -> None:
        """Append requests and one tick per second. Some requests have personal data, the last requests are longer."""
        events = [tick(self.start + second) for second in range(first + 1, last + 1)]
        for number in range(first // 2, last // 2):
            at = self.start + 2 * number + 0.3
            events.append(request(f"r{number}", _text(number), at=at, owed=("pii",)))
        await self.append(*sorted(events, key=lambda event: event.time))

    async def record(self) -> None:
        """Fill the log while score and watch run, at the pace of their watermarks, as in a live stack."""
        score = self.score_app(spec=PII, deadline_seconds=60)
        async with self.running(score), self.running(self.watch_app()):
            for second in range(0, SECONDS, _PIECE_SECONDS):
                await self.fill(second, second + _PIECE_SECONDS)
                await self.eventually(lambda: self._watched(second + _PIECE_SECONDS), 60)  # noqa: B023 - awaited in this iteration

    async def _watched(self, second: int) -> bool:
        ticks = [
            (record.partition, event.data) for record, event in await self.findings() if isinstance(event.data, Tick)
        ]
        reached = {partition for partition, tick in ticks if tick.watermark >= self.start + second - 1.5}
        return reached == set(range(Q))

    async def alerts(self) -> list[AlertRecord]:
        events = await self.records(self.names.alerts)
        return [event.data for _, event in events]

    async def messages(self) -> dict[str, int]:
        """Return the number of records in each topic."""
        found = await list_topics(self.kafka.client_options(), self.kafka.topic_prefix)
        return {one.topic: one.messages for one in found}


def _text(number: int) -> str:
    if number in CERTAIN:
        return "please write to jo.public@example.com"
    if number in WEAK:
        return "my passport number is 912803456"
    words = 40 if number >= 110 else 4 + number % 5
    return " ".join(["garden"] * words)
