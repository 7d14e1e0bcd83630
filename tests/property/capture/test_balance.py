"""The balance holds at any instant and after any crash, over random traffic, shipping, lost producers and kills."""

import asyncio
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from opentelemetry.trace import NoOpTracer
from prometheus_client import CollectorRegistry
from support.simulated_kafka import SteppedDelivery
from support.spool import Spool, small_settings

from serving.capture.adopt_spool import adopt
from serving.capture.balance import read_balance
from serving.capture.metrics import ShipperMetrics
from serving.capture.pipeline import Pace, Pipeline
from serving.capture.shipper import fold
from stream.wire import GapRecord, RequestRecord, ResponseRecord

SETTINGS = small_settings(limit_bytes=150_000, segment_bytes=12_000)
PACE = Pace(poll_seconds=0.0005, save_seconds=0.0, window_frames=8)

STEPS = st.one_of(
    st.tuples(st.just("request"), st.integers(0, 9000)),
    st.tuples(st.just("burst"), st.integers(1, 40)),
    st.tuples(st.just("end"), st.integers(0, 50)),
    st.tuples(st.just("tick"), st.just(0)),
    st.tuples(st.just("take"), st.integers(0, 20)),
    st.tuples(st.just("lose"), st.integers(0, 8)),
    st.tuples(st.just("kill shipper"), st.just(0)),
    st.tuples(st.just("kill gateway"), st.just(0)),
    st.tuples(st.just("close gateway"), st.just(0)),
)


class World:
    """A gateway, a shipper, a broker, and what a bystander has counted."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.kafka = SteppedDelivery(partitions=3)
        self.accepted = 0
        self.names: list[str] = []
        self.open: list[str] = []
        self.gateway = Spool(root, settings=SETTINGS)
        self.old: list[Spool] = []
        self.pipelines: dict[str, tuple[Pipeline, asyncio.Task]] = {}

    async def step(self, kind: str, size: int) -> None:
        if kind == "request":
            self._request(size)
        elif kind == "burst":
            for _ in range(size):
                self._request(3000)
        elif kind == "end" and self.open:
            self.gateway.end(self.open.pop(size % len(self.open)), "y" * 500)
            self.accepted += 1
        elif kind == "tick":
            self.gateway.writer.recount()
            self.gateway.writer.tick()
        elif kind == "take":
            await self._turn()
            self.kafka.take(size)
        elif kind == "lose":
            self.kafka.lose(taken_silently=size)
        elif kind == "kill shipper":
            await self._kill_shipper()
        elif kind in {"kill gateway", "close gateway"}:
            self._end_gateway(closed=kind == "close gateway")
        await self._turn()

    def check(self) -> None:
        balance = read_balance(self.root)
        assert balance.accepted == balance.delivered + balance.spooled + balance.shed
        assert min(balance.delivered, balance.spooled, balance.shed) >= 0
        assert balance.accepted == self.accepted
        assert balance.delivered <= len(self.delivered())

    def delivered(self) -> set[str]:
        return {event.id for _, _, event in self.kafka.log if isinstance(event.data, RequestRecord | ResponseRecord)}

    async def drain(self) -> None:
        self._end_gateway(closed=True)
        self._end_gateway(closed=False, again=False)
        await self._turn()
        async with asyncio.timeout(15):
            while not all(pipeline.closed and task.done() for pipeline, task in self.pipelines.values()):
                self.kafka.take()
                await self._turn()
        for spool in self.old:
            fold(self.root, spool.directory, self.pipelines[spool.source][0].cursor)
            self.check()

    def _request(self, size: int) -> None:
        name = f"r{len(self.names)}"
        self.gateway.request(name, "x" * size)
        self.names.append(name)
        self.open.append(name)
        self.accepted += 1

    def _end_gateway(self, *, closed: bool, again: bool = True) -> None:
        spool = self.gateway
        if closed:
            spool.writer.finish()
        spool.kill()
        adopt(spool.directory, spool.source)
        self.old.append(spool)
        aborted = read_balance(self.root).accepted - self.accepted
        assert 0 <= aborted <= len(self.open)
        self.accepted += aborted
        self.open = []
        if again:
            self.gateway = Spool(self.root, settings=SETTINGS)

    async def _turn(self) -> None:
        for spool in (*self.old, self.gateway):
            if spool.source not in self.pipelines and spool.directory.exists():
                metrics = ShipperMetrics(CollectorRegistry())
                pipeline = Pipeline(spool.directory, self.kafka, tracer=NoOpTracer(), metrics=metrics, pace=PACE)
                task = asyncio.create_task(pipeline.run(asyncio.Event()))
                self.pipelines[spool.source] = (pipeline, task)
        for _ in range(3):
            await asyncio.sleep(0.0005)

    async def _kill_shipper(self) -> None:
        tasks = [task for _, task in self.pipelines.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.kafka.lose()
        self.pipelines = {}


def check_the_end(world: World) -> None:
    balance = read_balance(world.root)
    events = [event for _, _, event in world.kafka.log]
    gaps = {event.id: event.data for event in events if isinstance(event.data, GapRecord)}
    requests = {event.correlationid for event in events if isinstance(event.data, RequestRecord)}
    ends = {event.correlationid for event in events if isinstance(event.data, ResponseRecord)}
    named = {name for gap in gaps.values() for name in gap.request_ids}
    assert balance.spooled == 0
    assert balance.delivered == len(world.delivered())
    assert balance.shed == sum(gap.count for gap in gaps.values())
    assert set(world.names) == requests | named
    assert requests <= ends | named
    assert [path for path in world.root.iterdir() if path.name.startswith("gateway-")] == []
    first = {}
    for _, partition, event in world.kafka.log:
        if isinstance(event.data, RequestRecord | ResponseRecord):
            first.setdefault((event.source, partition), {}).setdefault(event.id, event.data.number)
    for numbers in first.values():
        assert list(numbers.values()) == sorted(numbers.values())


async def live(steps: list[tuple[str, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        world = World(Path(folder))
        try:
            for kind, size in steps:
                await world.step(kind, size)
                world.check()
            await world.drain()
            check_the_end(world)
        finally:
            for _, task in world.pipelines.values():
                task.cancel()


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(STEPS, max_size=25))
def test_the_balance_holds_at_any_instant_and_after_any_crash(steps):
    asyncio.run(live(steps))
