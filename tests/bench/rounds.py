"""Measure two arms alternately and return the median of each; start a broker for a benchmark."""

import contextlib
import statistics
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path

import msgspec
from support.running_broker import RunningBroker, start_broker

from weir.local.broker.kafka_jars import apache_available

ROUNDS = 3


class Figure(msgspec.Struct, frozen=True, kw_only=True):
    """One printed line: medians of both arms, their ratio, and the target."""

    name: str
    unit: str
    left: float
    right: float
    aim: str

    def line(self) -> str:
        ratio = self.left / self.right if self.right else float("nan")
        return f"{self.name:58} {self.left:10.2f} {self.right:10.2f} {self.unit:9} ratio {ratio:6.3f}   aim {self.aim}"


Arm = Callable[[], Awaitable[Mapping[str, float]]]


async def in_turn(left: Arm, right: Arm, rounds: int = ROUNDS) -> dict[str, tuple[float, float]]:
    """Run both arms alternately for `rounds` rounds, after one warm-up round; return (left, right) medians by name.

    A line on standard error says that a round begins: a bar that draws itself would take time from the arms.
    """
    say("warm-up round")
    await left()
    await right()
    kept: list[tuple[Mapping[str, float], Mapping[str, float]]] = []
    for number in range(rounds):
        say(f"round {number + 1} of {rounds}")
        if number % 2:
            b, a = await right(), await left()
        else:
            a, b = await left(), await right()
        kept.append((a, b))
    names = kept[0][0]
    return {n: (statistics.median(a[n] for a, _ in kept), statistics.median(b[n] for _, b in kept)) for n in names}


def say(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


@contextlib.contextmanager
def local_broker() -> Iterator[tuple[RunningBroker, Path]]:
    """Start Apache Kafka if Maven can download it, else the embedded broker; yield the broker and a temporary folder."""
    kind = "apache" if apache_available() else "embedded"
    with tempfile.TemporaryDirectory() as folder, start_broker(kind, Path(folder) / "broker") as broker:
        yield broker, Path(folder)
