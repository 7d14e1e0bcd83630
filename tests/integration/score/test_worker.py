"""The score worker as a process: killed, stopped, stalled, or started with topics that it cannot use."""

import asyncio
import signal
from collections import Counter

import pytest
from aiokafka.admin import NewTopic
from support.events import tick
from support.score_stack import ScoreLab, request
from support.stage_lab import P, Q

from stream.kafka.clients import admin_for
from stream.runtime.worker import EXIT_CONFIG, EXIT_STALLED
from stream.wire import Signal, Verdict

pytestmark = pytest.mark.kafka


async def test_kill_9_in_the_middle_of_a_batch_loses_no_event_and_duplicates_are_equal(either):
    lab = either
    ids = [f"r{number}" for number in range(400)]
    await lab.append(*(request(name, f"hello 5551234 {name}") for name in ids), tick(500.0))

    async def some() -> bool:
        return len(await lab.verdicts()) >= 12

    async with lab.worker("score", seconds=0.05) as process:
        await lab.eventually(some, 60)
        process.send_signal(signal.SIGKILL)
        await process.wait()
    before = len(await lab.verdicts())
    assert before < 3 * len(ids)

    async def all_of_them() -> bool:
        found = [event.data for _, event in await lab.verdicts()]
        ticked = {event.partition for event in found if not isinstance(event, Verdict)}
        return ticked == set(range(P)) and len({v.event_id for v in found if isinstance(v, Verdict)}) == len(ids)

    async with lab.worker("score") as process:
        await lab.eventually(all_of_them, 60)
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 15) == 0
    verdicts = [(event.id, event.data) for _, event in await lab.verdicts() if isinstance(event.data, Verdict)]
    assert {(data.event_id, data.detector) for _, data in verdicts} == {
        (f"{name}/request", detector) for name in ids for detector in ("pii", "toxicity", "injection")
    }
    by_id = {}
    for event_id, data in verdicts:
        assert by_id.setdefault(event_id, data) == data
    assert len(by_id) == 3 * len(ids)
    repeats = Counter(event.id for _, event in await lab.signals() if isinstance(event.data, Signal))
    assert set(repeats) == {f"{name}/request/signal" for name in ids}
    print(f"repeated: {sum(repeats.values()) - len(ids)} of {len(ids)}")


async def test_no_event_is_lost_if_a_worker_joins_or_leaves(lab):
    ids = [f"r{number}" for number in range(60)]
    await lab.append(*(request(name, f"hello {name}") for name in ids))

    async def scored_of(count) -> bool:
        return len({event.id for _, event in await lab.verdicts()}) >= count

    async def all_committed() -> bool:
        group, topic = f"{lab.kafka.topic_prefix}score", lab.names.inference
        return {number: await lab.committed(group, topic, number) for number in range(P)} == lab.appended

    async with lab.worker("score", seconds=0.05) as first, lab.worker("score", seconds=0.05) as second:
        await lab.eventually(lambda: scored_of(15), 90)
        first.terminate()
        assert await asyncio.wait_for(first.wait(), 20) == 0
        await lab.eventually(lambda: scored_of(3 * len(ids)), 90)
        await lab.eventually(all_committed)
        second.terminate()
        assert await asyncio.wait_for(second.wait(), 20) == 0
    found = {(event.data.event_id, event.data.detector) for _, event in await lab.verdicts()}
    assert len(found) == 3 * len(ids)
    assert not await lab.dead()


async def test_a_worker_with_work_and_no_progress_ends_itself(lab):
    """An output topic is deleted, so the worker cannot publish, although the broker answers."""
    await lab.append(request("r1", "hello"))

    async def scored() -> bool:
        return bool(await lab.signals())

    async with lab.worker("score", watchdog=6) as process:
        await lab.eventually(scored, 60)
        async with admin_for(lab.kafka.client_options()) as admin:
            await admin.delete_topics([lab.names.signals])
        await lab.append(request("r2", "hello"))
        assert await asyncio.wait_for(process.wait(), 90) == EXIT_STALLED


async def test_a_wrong_partition_count_ends_the_worker_with_an_error_that_names_the_setting(apache_broker, tmp_path):
    lab = ScoreLab(apache_broker.bootstrap, tmp_path)
    async with admin_for(lab.kafka.client_options()) as admin:
        await admin.create_topics([NewTopic(lab.names.inference, P + Q + 1, 1)])
    async with lab.worker("score") as process:
        assert await asyncio.wait_for(process.wait(), 30) == EXIT_CONFIG
    log = (tmp_path / "worker.log").read_text()
    assert f"{P + Q + 1} partitions" in log
    assert "WEIR_KAFKA__TOPIC_PREFIX" in log


async def test_a_worker_that_waits_for_topics_stops_with_exit_status_0(apache_broker, tmp_path):
    lab = ScoreLab(apache_broker.bootstrap, tmp_path)
    async with lab.worker("score") as process:

        async def waits() -> bool:
            log = tmp_path / "worker.log"
            return log.exists() and "weir topics create" in log.read_text()

        await lab.eventually(waits)
        process.terminate()
        assert await asyncio.wait_for(process.wait(), 15) == 0
