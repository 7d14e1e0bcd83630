"""Measure the peak memory of a stage with a backlog: a small backlog in the tests, a large one in the benchmark."""

import asyncio
from pathlib import Path

from serving.capture.balance import read_balance
from stream.ledger.queries.ledger_reader import LedgerReader
from support import ledger_log, score_stack
from support.component_process import component_process
from support.kafka_log import fresh_topics, sender, until
from support.memory import peak_bytes
from support.score_stack import ScoreLab
from support.spool import Spool
from support.stage_lab import P

WORDS = "word " * 2_000
_SENT_AT_ONCE = 1_000
_SECONDS = 500.0


async def append(kafka, topic, events, partitions=2):
    """Send `events`, spread over the partitions."""
    async with sender(kafka) as to:
        for start in range(0, len(events), _SENT_AT_ONCE):
            chunk = events[start : start + _SENT_AT_ONCE]
            await asyncio.gather(*(to.send(topic, *chunk[n::partitions], partition=n) for n in range(partitions)))


async def score_peak(bootstrap: str, directory: Path, events: int, answers: int = 60, seconds: float = 0.2) -> int:
    """Return the peak memory of a score worker with slow detectors until it has written `answers` verdicts of the backlog."""
    directory.mkdir()
    lab = await ScoreLab(bootstrap, directory).create()
    backlog = [score_stack.request(f"r{n}", f"{n} {WORDS}", at=100.0 + n / 1000, owed=("pii",)) for n in range(events)]
    await append(lab.kafka, lab.names.inference, backlog)
    async with lab.worker("score", seconds=seconds) as process:

        async def answered():
            return len(await lab.read(lab.names.verdicts, P)) >= answers

        await lab.eventually(answered, _SECONDS)
        return peak_bytes(process.pid)


async def ledger_peak(bootstrap: str, directory: Path, events: int) -> int:
    """Return the peak memory of a ledger that starts with a backlog of `events` requests and their verdicts."""
    kafka = await fresh_topics(bootstrap)
    backlog = [ledger_log.request(f"r{n}", 100.0 + n / 1000, owed=("pii",)) for n in range(events)]
    await append(kafka, kafka.names.inference, backlog)
    await append(kafka, kafka.names.verdicts, [ledger_log.verdict(event, "pii") for event in backlog])
    reader = LedgerReader(directory)
    async with component_process("ledger", directory, kafka) as process:
        await until(
            "every verdict is stored", lambda: reader.exists() and reader.coverage().total.settled == events, _SECONDS
        )
        return peak_bytes(process.pid)


async def shipper_peak(bootstrap: str, directory: Path, records: int, characters: int = 10_000) -> tuple[int, int]:
    """Return the peak memory of a shipper that starts with a spool of `records` requests, and the size of the spool in bytes."""
    kafka = await fresh_topics(bootstrap)
    await asyncio.to_thread(_fill, directory, records, characters)
    size = read_balance(directory).bytes
    async with component_process("shipper", directory, kafka) as process:
        await until("everything shipped", lambda: read_balance(directory).spooled == 0, _SECONDS)
        return peak_bytes(process.pid), size


def _fill(directory: Path, records: int, characters: int) -> None:
    directory.mkdir()
    spool = Spool(directory)
    spool.fill(records, "x" * characters, ended=True)
    spool.writer.finish()
    spool.kill()
