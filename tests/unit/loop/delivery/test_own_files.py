"""The files of delivery that cannot be read: not a fault of Kafka, whose errors are OSErrors too."""

import pytest
from opentelemetry.trace import NoOpTracer
from prometheus_client import CollectorRegistry

from stream.errors import HomeFailed
from stream.loop.delivery.agent import _Service, state_path
from stream.loop.delivery.champions import ChampionAliases
from stream.loop.delivery.metrics import DeliveryMetrics
from stream.settings import KafkaSettings
from stream.wire.route_files import overrides_path


@pytest.fixture
def service(tmp_path):
    metrics = DeliveryMetrics(CollectorRegistry())
    return _Service(tmp_path, KafkaSettings(), {}, metrics, NoOpTracer(), ChampionAliases(None), {})


def test_a_state_that_cannot_be_read_is_named(service, tmp_path):
    state_path(tmp_path).mkdir(parents=True)
    with pytest.raises(HomeFailed, match=r"state\.msgpack cannot be read or written: Is a directory"):
        service._stored()


async def test_overrides_that_cannot_be_read_are_named_and_the_routes_continue(service, tmp_path):
    overrides_path(tmp_path).mkdir()
    await service._orders(None, None)
    assert "route-overrides.json cannot be read or written: Is a directory" in service._health["overrides"]
