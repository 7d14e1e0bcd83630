"""The broker is killed and restarted: the same worker continues, and each request has its signal."""

import pytest
from support.running_broker import start_broker
from support.score_stack import ScoreLab, request

from stream.wire import Signal

pytestmark = pytest.mark.kafka


async def test_a_killed_broker_loses_no_request_and_the_watchdog_waits_for_its_restart(apache_broker, tmp_path):
    del apache_broker  # requested only to skip the test if Apache Kafka cannot run here
    with start_broker("apache", tmp_path / "broker") as broker:
        lab = await ScoreLab(broker.bootstrap, tmp_path).create()
        before, after = [f"b{number}" for number in range(40)], [f"a{number}" for number in range(5)]
        await lab.append(*(request(name, "hello") for name in before))

        async def scored(names):
            found = {event.data.request_id for _, event in await lab.signals() if isinstance(event.data, Signal)}
            return found >= set(names)

        async with lab.worker("score", seconds=0.05, watchdog=3) as process:
            await lab.eventually(lambda: scored(before[:1]), 60)
            broker.kill()
            broker.start()
            await lab.eventually(lambda: scored(before), 60)
            await lab.append(*(request(name, "hello") for name in after))
            await lab.eventually(lambda: scored(after), 60)
            assert process.returncode is None
