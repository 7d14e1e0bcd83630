"""The number of model replicas, and the error while all of them are full."""

from types import SimpleNamespace

import pytest
from ray.serve.exceptions import BackPressureError

from serving.backend import ModelRequest
from serving.deployments import _backend, build
from serving.replica.ray_backend import RayBackend
from serving.settings import ModelSettings
from stream.telemetry import TraceSettings
from weir.application import application_args
from weir.settings import Settings


class Full:
    """A deployment's handle whose queue is full."""

    describe = None

    def options(self, **_):
        return SimpleNamespace(generate=SimpleNamespace(remote=self._remote))

    async def _remote(self, _generation):
        raise BackPressureError(num_queued_requests=3, max_queued_requests=3)
        yield


async def test_a_full_queue_is_rejected_with_its_limit():
    backend = RayBackend(Full(), max_requests=8, max_queued=3, replicas=1, gateways=1)
    (rejected,) = [
        item
        async for item in backend.generate(
            ModelRequest(request_id="r", operation="text_completion", body={"prompt": "x"})
        )
    ]
    assert (rejected.code, rejected.status) == ("queue_full", 503)
    assert "3 requests wait, the limit" in rejected.message


@pytest.mark.parametrize(("least", "most", "replicas"), [(1, 1, 1), (4, 1, 4), (1, 3, 3)])
def test_a_minimum_that_alone_was_raised_is_the_maximum_too(least, most, replicas, tmp_path):
    model = ModelSettings(min_replicas=least, max_replicas=most, slots=5, queue=5)
    traces = TraceSettings(endpoint="", headers={}, ratio=1.0)
    args = application_args(Settings(home=tmp_path, model=model), traces)
    (models, _) = build(args)._bound_deployment.init_args
    (model,) = models.values()
    assert model._bound_deployment._deployment_config.autoscaling_config.max_replicas == replicas
    assert _backend(next(iter(models)), dict.fromkeys(models, Full()), args).capacity() == 10 * replicas, (
        "a gateway accepts as many as all of them"
    )
