"""The gateway's backend that calls the model replicas through Ray's deployment handle."""

import math
from collections.abc import AsyncGenerator
from typing import Any

from ray.exceptions import RayError
from ray.serve.exceptions import BackPressureError, RayServeException

from serving.backend import BackendLost, ModelInfo, ModelRequest, OpenAIChunk, RejectedRequest
from serving.engine.errors import EngineClosedError
from serving.settings import ModelSettings
from stream.count_text import count_text

#: Over gRPC, Ray raises the replica's own exception; over actor calls it raises a RayError that wraps it.
_LOST = (RayError, RayServeException, EngineClosedError)


class RayBackend:
    """Calls replicas of the model with `settings` through `handle`, that of its deployment; Ray chooses the replica.

    `gateways` is the number of gateways that share the replicas.
    """

    #: Arguments of the replica's `describe`.
    _described: tuple[str, ...] = ()

    def __init__(self, handle: Any, settings: ModelSettings, gateways: int) -> None:
        self._describe = handle.describe
        self._generate = handle.options(stream=True).generate
        self._max_queued = settings.queue
        self._capacity = math.ceil(settings.max_requests * settings.max_replicas / gateways)

    async def describe(self) -> ModelInfo:
        """Return the model description of a replica; raises BackendLost."""
        try:
            info: ModelInfo = await self._describe.remote(*self._described)
        except _LOST as error:
            raise BackendLost(type(error).__name__) from None
        return info

    async def generate(self, request: ModelRequest) -> AsyncGenerator[OpenAIChunk | RejectedRequest, None]:
        """Generate an answer on one replica; closing the iterator cancels the generation. Raises BackendLost."""
        response = self._generate.remote(self._sent(request))
        finished = False
        try:
            async for item in response:
                yield item
            finished = True
        except BackPressureError:
            finished = True
            yield RejectedRequest(
                code="queue_full",
                status=503,
                message=f"Every replica is full and {count_text(self._max_queued, 'request waits', 'requests wait')}, the limit; try again in a second.",
            )
        except _LOST as error:
            finished = True
            raise BackendLost(type(error).__name__) from None
        finally:
            if not finished:
                response.cancel()

    def _sent(self, request: ModelRequest) -> ModelRequest:
        """Return the request in the form that Ray's request router receives."""
        return request

    def capacity(self) -> int:
        """Return the maximum number of requests that this gateway accepts: its share of the replicas' capacity."""
        return self._capacity
