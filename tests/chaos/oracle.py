"""Whether I1 to I6 hold over everything that a lab has on its topics, in its spool and in its journals."""

from typing import TYPE_CHECKING, Any

from chaos.checks.accounts import accounted, balanced, lettered, numbered
from chaos.checks.commits import Commits, Mark
from chaos.checks.outcomes import Outputs, published, states
from chaos.journals import read_journals
from chaos.look import Raw
from chaos.record import Record
from chaos.replay import AlertReplay, RetrainReplay, WatchReplay
from stream.settings import TenantSettings
from weir.settings import Settings

if TYPE_CHECKING:
    from chaos.world import World

__all__ = ["Oracle"]


class Oracle:
    """Reads a lab's topics as they grow, and says what is wrong.

    Parameters
    ----------
    world
        The lab.
    settings
        What its processes are set to.

    Attributes
    ----------
    planted
        Requests that the lab itself has put on inference; no source knows them.
    lost
        Requests that went with a log that was deleted; None while the log is whole.
    """

    def __init__(self, world: "World", settings: Settings) -> None:
        self._world = world
        kafka = world.kafka
        known: dict[str, TenantSettings] = {}

        def tenants(name: str) -> TenantSettings:
            return known.setdefault(name, settings.tenant(name))

        self.record = Record(world.names, world.changelogs)
        self.watch = [
            WatchReplay(
                number,
                inference=kafka.partitions,
                signals=kafka.stream_partitions,
                silence_seconds=settings.watch.source_silence_seconds,
                tenants=tenants,
            )
            for number in range(kafka.stream_partitions)
        ]
        self.alert = [AlertReplay(number, tenants) for number in range(kafka.stream_partitions)]
        self.retrain = [RetrainReplay(tenants) for _ in range(kafka.stream_partitions)]
        self.planted: set[str] = set()
        self.lost: set[str] | None = None
        self._outputs = Outputs()
        self._commits = Commits(world.names, world.changelogs)
        self._marks: list[Mark] = []

    def read(self) -> list[Raw]:
        """Take what is new on the topics, and return it."""
        names = self._world.names
        replays: dict[str, list[Any]] = {
            names.signals: self.watch,
            names.findings: self.alert,
            names.alerts: self.retrain,
        }
        fresh = self._world.look.fresh(self._world.counts())
        for raw in fresh:
            event = self.record.take(raw)
            if event is not None and raw.topic in replays:
                replays[raw.topic][raw.partition].take(raw, event)
        return fresh

    def mark(self, what: str) -> None:
        """Remember what is committed now, for I5; while a worker is dead, before another can finish its work."""
        world = self._world
        score, watch = world.committed("score"), world.committed("watch")
        self._marks.append(Mark(what=what, score=score, watch=watch, ends=world.look.ends(world.counts())))

    def unsettled(self) -> str:
        """Return what is not at its end yet, "" where everything is.

        What is committed is asked for first and the topics are read last: outputs come before commits, so that once both agree
        everything was read.
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

    def _wanted(self, topic: str, number: int, end: int) -> int | None:
        names = self._world.names
        if topic == names.signals and (first_open := self.watch[number].first_open) is not None:
            return first_open
        return end if topic in {names.inference, names.signals, names.findings, names.alerts} else None

    def check(self) -> list[str]:
        """Return every violation, each with the invariant's name first."""
        record, world = self.record, self._world
        self._outputs.take(record)
        marks, self._marks = self._marks, []
        journals = read_journals(world.home)
        if self.lost is not None:
            journals.accepted -= self.lost
            return [*accounted(record, journals, self.planted), *lettered(record, world.names.inference)]
        return [
            *accounted(record, journals, self.planted),
            *balanced(record, world.balance(), self.planted),
            *numbered(record, self.planted),
            *lettered(record, world.names.inference),
            *self._outputs.compared(record),
            *published(record, self.watch, self.alert, self.retrain),
            *states(record, self.watch, self.alert),
            *[found for mark in marks for found in self._committed(mark)],
        ]

    def ledger_says(self) -> str:
        """Return how the ledger's figures differ from the record, "" where they agree."""
        world, record = self._world, self.record
        requests = len({seen.event.id for seen in record.inference.values() if seen.event.id.endswith("/request")})
        owed = len(self._outputs.verdicts)
        said = {
            name: world.meters.metric(
                "ledger", f"weir_coverage_{name}", **({} if name == "requests" else {"detector": "all"})
            )
            for name in ("requests", "owed", "settled", "missing")
        }
        wanted = {"requests": requests, "owed": owed, "settled": owed, "missing": 0}
        return "" if said == wanted else f"the ledger says {said}, on the record are {wanted}"

    def _committed(self, mark: Mark) -> list[str]:
        names = self._world.names
        return [
            *self._commits.score(mark, self.record, self._outputs),
            *self._commits.watch(mark, self.record, [one.held for one in self.watch], "streams", names.signals),
            *self._commits.watch(mark, self.record, [one.touches for one in self.alert], "alerts", names.findings),
        ]
