"""The number of model replicas, and the errors of a full and of a lost replica."""

from types import SimpleNamespace

import pytest
from ray.exceptions import RayError
from ray.serve.exceptions import BackPressureError, ReplicaUnavailableError

from serving.backend import BackendLost, ModelRequest
from serving.deployments import _backend, build
from serving.engine.echo_engine import EchoEngine
from serving.engine.errors import EngineClosedError
from serving.replica.model_server import ModelServer
from serving.replica.ray_backend import RayBackend
from serving.settings import ModelSettings
from stream.telemetry import TraceSettings
from weir.application import application_args
from weir.settings import Settings


class Failing:
    """The handle of a deployment; its calls raise `error`."""

    describe = None

    def __init__(self, error):
        self._error = error

    def options(self, **_):
        return SimpleNamespace(generate=SimpleNamespace(remote=self._remote))

    async def _remote(self, _generation):
        raise self._error
        yield


async def items_of(error, max_queued=3):
    backend = RayBackend(Failing(error), ModelSettings(queue=max_queued), 1)
    request = ModelRequest(request_id="r", operation="text_completion", body={"prompt": "x"})
    return [item async for item in backend.generate(request)]


@pytest.mark.parametrize(("limit", "text"), [(3, "3 requests wait, the limit"), (1, "1 request waits, the limit")])
async def test_a_full_queue_is_rejected_with_its_limit(limit, text):
    error = BackPressureError(num_queued_requests=limit, max_queued_requests=limit)
    (rejected,) = await items_of(error, max_queued=limit)
    assert (rejected.code, rejected.status) == ("queue_full", 503)
    assert text in rejected.message


@pytest.mark.parametrize("error", [EngineClosedError("ended"), ReplicaUnavailableError("gone"), RayError()])
async def test_if_an_engine_or_replica_ends_the_backend_is_lost(error):
    with pytest.raises(BackendLost, match=type(error).__name__):
        await items_of(error)


async def test_a_replica_whose_engine_has_ended_raises_an_error():
    server = ModelServer(EchoEngine(64), max_requests=8)
    assert server.describe().engine == "echo"
    await server.close()
    with pytest.raises(EngineClosedError):
        server.describe()


@pytest.mark.parametrize(("least", "most"), [(1, 1), (1, 3)])
def test_ray_may_start_the_maximum_of_replicas(least, most, tmp_path):
    model = ModelSettings(min_replicas=least, max_replicas=most, slots=5, queue=5)
    traces = TraceSettings(endpoint="", headers={}, ratio=1.0)
    args = application_args(Settings(home=tmp_path, model=model), traces)
    (models, _) = build(args)._bound_deployment.init_args
    (model,) = models.values()
    assert model._bound_deployment._deployment_config.autoscaling_config.max_replicas == most
    assert _backend(next(iter(models)), dict.fromkeys(models, Failing(None)), args).capacity() == 10 * most, (
        "the capacity of a gateway is that of all replicas"
    )
