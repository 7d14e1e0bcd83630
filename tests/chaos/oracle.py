"""Check the invariants I1 to I6 over all records on a lab's topics, its spool and its journals."""

from chaos.checks.accounts import accounted, balanced, lettered, numbered
from chaos.checks.commits import Commits, Mark
from chaos.checks.outcomes import Outputs, published, states
from chaos.journals import read_journals
from chaos.record import Record
from chaos.replay import AlertReplay, RetrainReplay, WatchReplay
from stream.settings import cached_tenant_settings


class Oracle:
    """Reads the new records of a lab's topics, and returns violations.

    `planted` are requests that the lab itself has written to inference. `lost` are the requests of a deleted log, or None.
    """

    def __init__(self, world) -> None:
        self._world = world
        settings = world.settings()
        tenants, kafka = cached_tenant_settings(settings.tenants), world.kafka
        self.record = Record(world.names, world.changelogs)
        self.watch = [
            WatchReplay(number, kafka=kafka, silence_seconds=settings.watch.source_silence_seconds, tenants=tenants)
            for number in range(kafka.stream_partitions)
        ]
        self.alert = [AlertReplay(number, tenants) for number in range(kafka.stream_partitions)]
        self.retrain = [RetrainReplay(tenants) for _ in range(kafka.stream_partitions)]
        self.planted = set()
        self.lost = None
        self._outputs = Outputs()
        self._commits = Commits(world.names, world.changelogs)
        self._marks = []

    def read(self):
        """Read and return the new records of the topics."""
        names = self._world.names
        replays = {names.signals: self.watch, names.findings: self.alert, names.alerts: self.retrain}
        fresh = self._world.look.fresh(self._world.counts())
        for raw in fresh:
            event = self.record.add(raw)
            if event is not None and raw.topic in replays:
                replays[raw.topic][raw.partition].add(raw, event)
        return fresh

    def mark(self, strike):
        """Keep the committed offsets for I5, while a worker is dead and no other worker can finish its records."""
        world, what = self._world, f"strike {strike.number} of {strike.fault}"
        score, watch = world.committed("score"), world.committed("watch")
        self._marks.append(Mark(what=what, score=score, watch=watch, ends=world.look.ends(world.counts())))

    def unsettled(self):
        """Return a sentence about the first spool or partition with unprocessed records, or "".

        Commits are read first, topics last. Outputs are written before commits, so all outputs were read if both agree.
        """
        world = self._world
        if left := world.spooled_sources():
            return f"{left} spools are not drained"
        committed = {**world.committed("watch"), **world.committed("score")}
        ends = world.look.ends(world.counts())
        self.read()
        for (topic, number), end in ends.items():
            wanted, have = self._wanted(topic, number, end), committed.get((topic, number), 0)
            if wanted is not None and have != wanted:
                return f"{topic}-{number} is committed to {have}, not to {wanted} of {end}"
        return ""

    def _wanted(self, topic, number, end):
        names = self._world.names
        if topic == names.signals and (first_open := self.watch[number].first_open) is not None:
            return first_open
        return end if topic in {names.inference, names.signals, names.findings, names.alerts} else None

    def check(self):
        """Return all violations; each begins with the name of its invariant."""
        record, world = self.record, self._world
        self._outputs.add(record)
        marks, self._marks = self._marks, []
        journals = read_journals(world.home)
        journals.accepted -= self.lost or set()
        found = [*accounted(record, journals, self.planted), *lettered(record, world.names.inference)]
        if self.lost is not None:
            return found
        return [
            *found,
            *balanced(record, world.balance(), self.planted),
            *numbered(record, self.planted),
            *self._outputs.compared(record),
            *published(record, self.watch, self.alert, self.retrain),
            *states(record, self.watch, self.alert),
            *[found for mark in marks for found in self._committed(mark)],
        ]

    def _committed(self, mark):
        names = self._world.names
        return [
            *self._commits.score(mark, self.record, self._outputs),
            *self._commits.watch(mark, self.record, self.watch, "streams", names.signals),
            *self._commits.watch(mark, self.record, self.alert, "alerts", names.findings),
        ]

    def ledger_differs(self):
        """Return how the ledger's figures differ from the log, or ""."""
        requests = len({seen.event.id for seen in self.record.inference.values() if seen.event.id.endswith("/request")})
        expected = len(self._outputs.verdicts)
        wanted = {"requests": requests, "owed": expected, "settled": expected, "missing": 0}
        labels = {name: {} if name == "requests" else {"detector": "all"} for name in wanted}
        metric = self._world.meters.metric
        found = {name: metric("ledger", f"weir_coverage_{name}", **labels[name]) for name in wanted}
        return "" if found == wanted else f"the ledger has {found}, the log {wanted}"
