"""The group coordinator: who has which partitions. Members that are killed or stand still are given up after a session."""

import asyncio
import random

from faust.types import TP

from support.protocol.faust_worker import FaustWorker

#: Shorter than ours (stream/runtime/app.py), longer than any record is under way: worlds are short.
SESSION_SECONDS = 4.0
_HEARTBEAT_SECONDS = 1.0


class Coordinator:
    """Rebalances one group, eagerly, as aiokafka does: all give up all, then each gets its share."""

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
        """Let a worker in, with the next rebalance."""
        self.members.append(worker)
        self._wanted.set()

    def rebalance(self):
        """Ask for a rebalance."""
        self._wanted.set()

    async def run(self):
        """Watch the members, and rebalance when it is asked for."""
        while True:
            try:
                async with asyncio.timeout(0.5):
                    await self._wanted.wait()
            except TimeoutError:
                self._look()
            else:
                while self._look():  # noqa: ASYNC110 - a rebalance waits for those who may still come
                    await asyncio.sleep(0.5)
                self._wanted.clear()
                await self._rebalance()

    def _look(self):
        """Give up who sent no heartbeat for a session; who comes back joins anew. Return how many are silent."""
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
        """Let in again who was given up, once it runs and has heard of it."""
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
