"""The deployments outside Ray."""

import asyncio
from types import SimpleNamespace

import pytest
from prometheus_client import CollectorRegistry
from support.spool import events_of

from serving.capture.recorder import Recorder
from serving.deployments import GatewayIngress
from serving.gateway.guard import Guards
from serving.gateway.guard_settings import GuardRules
from serving.settings import CaptureSettings
from stream.wire import Closed


async def test_a_gateway_closes_its_spool_even_if_a_connection_cannot_be_closed(tmp_path):
    async def close():
        raise OSError("no connection")

    recorder = Recorder(root=tmp_path, settings=CaptureSettings(), registry=CollectorRegistry())
    recorder.start()
    gateway = SimpleNamespace(
        _warming=asyncio.create_task(asyncio.sleep(0)),
        _guards=Guards(GuardRules(), CollectorRegistry()),
        _upstreams={"x": SimpleNamespace(close=close)},
        _recorder=recorder,
    )
    with pytest.raises(OSError, match="no connection"):
        await GatewayIngress.__del__(gateway)
    (spool,) = tmp_path.iterdir()
    assert isinstance(events_of(spool)[-1].data, Closed)
