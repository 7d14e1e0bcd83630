"""The group coordinator, which assigns partitions. It removes members that were killed or suspended for a session timeout."""

import asyncio
import random

from faust.types import TP

from support.protocol.faust_worker import FaustWorker

#: Shorter than Weir's (stream/runtime/app.py), since worlds are short; longer than any record is in flight.
SESSION_SECONDS = 4.0
_HEARTBEAT_SECONDS = 1.0


class Coordinator:
    """Rebalances one group eagerly, as aiokafka does: all members revoke all partitions, then each member gets its share."""

    def __init__(self, loop, kafka, group, topics, seed):
        self._loop = loop
        self._kafka = kafka
        self._group = kafka.group(group)
        self._topics = sorted(topics)
        self._random = random.Random(f"coordinator {group} {seed}")
        self.members: list[FaustWorker] = []
        self._wanted = asyncio.Event()
        self._behind: dict[FaustWorker, float] = {}

    def join(self, worker):
        """Add a worker to the group with the next rebalance."""
        self.members.append(worker)
        self._wanted.set()

    def rebalance(self):
        """Ask for a rebalance."""
        self._wanted.set()

    async def run(self):
        """Check the members' heartbeats, and rebalance on request."""
        while True:
            try:
                async with asyncio.timeout(0.5):
                    await self._wanted.wait()
            except TimeoutError:
                self._look()
            else:
                while self._look():  # noqa: ASYNC110 - a rebalance waits for members that may return
                    await asyncio.sleep(0.5)
                self._wanted.clear()
                await self._rebalance()

    def _look(self):
        """Remove members without a heartbeat for a session; they may join again later. Return how many members are inactive."""
        now = self._loop.time()
        self._behind = {member: since for member, since in self._behind.items() if member in self.members}
        for member in list(self.members):
            if member.process.alive and member.process.running.is_set():
                self._behind.pop(member, None)
            elif now - self._behind.setdefault(member, now) >= SESSION_SECONDS:
                self.members.remove(member)
                del self._behind[member]
                if member.process.alive:
                    self._loop.create_task(self._return(member))
                self._wanted.set()
        return len(self._behind)

    async def _return(self, member):
        """Let a removed member join again after it runs and has sent its next heartbeat."""
        await member.process.running.wait()
        await asyncio.sleep(self._random.uniform(0, _HEARTBEAT_SECONDS))
        if member.process.alive:
            self.join(member)

    async def _rebalance(self):
        members = list(self.members)
        given_up = [member.process.within(self._loop.create_task, member.revoke()) for member in members]
        if given_up:
            await asyncio.wait(given_up, timeout=SESSION_SECONDS)
        for member, revoked in zip(members, given_up, strict=True):
            if member.process.alive and revoked.done() and not revoked.cancelled():
                revoked.result()
            elif member in self.members:
                revoked.cancel()
                self.members.remove(member)
                if member.process.alive:
                    self._loop.create_task(self._return(member))
        self._group.generation += 1
        present = [member for member in members if member in self.members]
        for member, places in zip(present, self._deal(len(present)), strict=True):
            member.process.spawn(member.assign(places, self._group.generation))

    def _deal(self, members):
        hands: list[list[TP]] = [[] for _ in range(members)]
        order = list(range(members))
        self._random.shuffle(order)
        for number in range(max(self._kafka.topics[topic] for topic in self._topics)):
            if members:
                hands[order[number % members]] += [TP(topic, number) for topic in self._topics]
        return hands
