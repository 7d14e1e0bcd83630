"""The demo waits for the last verdicts before it counts, up to a limit."""

import pytest
from support.console_ledger import NAMES, PARTITIONS, LedgerMaker
from support.ledger_log import end, request

from stream.ledger.queries.ledger_reader import LedgerReader
from stream.wire import partition_for
from weir.demo.last_verdicts import last_verdicts


@pytest.fixture
def maker(tmp_path):
    maker = LedgerMaker(tmp_path)
    yield maker
    maker.close()


def exchange(maker, name):
    for at, side in enumerate(("input", "output")):
        maker.side(name, side, 100.0 + at)


def reader(maker, after=lambda: None):
    """Return a function that reads a request and then calls `after`."""

    def read(name):
        found = LedgerReader(maker.directory).request(name)
        after()
        return found

    return read


async def test_the_wait_ends_when_each_answer_has_its_verdicts_and_all_are_counted(maker):
    exchange(maker, "r1")
    verdicts = len(LedgerReader(maker.directory).request("r1").events.verdicts)
    later, counts = [lambda: exchange(maker, "r2")], iter([2 * verdicts - 1, 2 * verdicts])
    read = reader(maker, lambda: later and later.pop()())
    asked = []

    def counted():
        asked.append(next(counts))
        return asked[-1]

    assert await last_verdicts(read, ["r1", "r2"], counted) == 0
    assert asked == [2 * verdicts - 1, 2 * verdicts]


async def test_a_request_without_its_end_or_a_verdict_is_waited_for_up_to_the_limit(maker):
    exchange(maker, "r1")
    maker.side("r2", "input", 100.0)  # a request without its end
    place = partition_for("r3", PARTITIONS)
    for event in (request("r3", 100.0, owed=("pii",)), end("r3", 101.0, owed=())):  # an end without a verdict
        maker.apply(NAMES.inference, event, partition=place)
    assert await last_verdicts(reader(maker), ["r1", "r2", "r3", "r4"], lambda: 1_000, 0.0) == 3


async def test_without_a_ledger_the_limit_ends_the_wait(tmp_path):
    assert await last_verdicts(LedgerReader(tmp_path / "none").request, ["r1"], lambda: 0, 0.0) == 1
