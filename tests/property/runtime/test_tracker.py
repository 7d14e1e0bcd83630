"""The ack tracker, compared with a model that stores every offset."""

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from stream.kafka.ack_tracker import AckTracker

PARTITIONS = ("a", "b")


class TrackerMachine(RuleBasedStateMachine):
    """Deliver offsets with gaps; acknowledge them in any order, twice, and from earlier generations."""

    def __init__(self) -> None:
        super().__init__()
        self.tracker: AckTracker[str] = AckTracker()
        self.generation = 0
        self.delivered: dict[str, list[int]] = {}
        self.acked: set[tuple[str, int]] = set()
        self.past: list[tuple[str, int, int]] = []

    @rule(partitions=st.sets(st.sampled_from(PARTITIONS)))
    def rebalance(self, partitions: set[str]) -> None:
        self.generation += 1
        self.tracker.assign(partitions, self.generation)
        self.delivered = {partition: [] for partition in partitions}
        self.acked = set()

    @precondition(lambda self: self.delivered)
    @rule(data=st.data(), gap=st.integers(1, 5))
    def deliver(self, data: st.DataObject, gap: int) -> None:
        partition = data.draw(st.sampled_from(sorted(self.delivered)))
        offset = (self.delivered[partition] or [-1])[-1] + gap
        assert self.tracker.deliver(partition, offset, self.generation)
        self.delivered[partition].append(offset)
        self.past.append((partition, offset, self.generation))

    @precondition(lambda self: self.past)
    @rule(data=st.data())
    def deliver_again(self, data: st.DataObject) -> None:
        partition, offset, generation = data.draw(st.sampled_from(self.past))
        if generation == self.generation or partition not in self.delivered:
            assert not self.tracker.deliver(partition, offset, generation)

    @precondition(lambda self: self.past)
    @rule(data=st.data())
    def ack(self, data: st.DataObject) -> None:
        partition, offset, generation = data.draw(st.sampled_from(self.past))
        first = (
            generation == self.generation
            and offset in self.delivered.get(partition, [])
            and (partition, offset) not in self.acked
        )
        assert self.tracker.ack(partition, offset, generation) is first
        if first:
            self.acked.add((partition, offset))

    @precondition(lambda self: self.delivered)
    @rule(data=st.data())
    def revoke(self, data: st.DataObject) -> None:
        partition = data.draw(st.sampled_from(sorted(self.delivered)))
        self.tracker.revoke([partition])
        del self.delivered[partition]

    @invariant()
    def never_past_an_unfinished_offset(self) -> None:
        for partition in PARTITIONS:
            offsets = self.delivered.get(partition, [])
            unfinished = [offset for offset in offsets if (partition, offset) not in self.acked]
            expected = min(unfinished) if unfinished else (offsets[-1] + 1 if offsets else None)
            assert self.tracker.position(partition) == expected
            assert self.tracker.open_count(partition) == len(unfinished)


TrackerMachine.TestCase.settings = settings(max_examples=150, stateful_step_count=40)
TestTracker = TrackerMachine.TestCase
