"""The model replicas behind Ray's deployment handle, as a gateway's backend."""

import math
from collections.abc import AsyncGenerator
from typing import Any

from ray.exceptions import RayError
from ray.serve.exceptions import BackPressureError, RayServeException

from serving.replica.generation import Generation, ModelInfo, Piece, Refusal, ReplicaLost

__all__ = ["RayBackend"]


class RayBackend:
    """Calls replicas through `handle`; Ray chooses which.

    Parameters
    ----------
    handle
        Of the model's deployment.
    most_held
        Requests that a replica holds.
    most_queued
        Requests that wait in this handle, at most, while every replica is full.
    replicas, gateways
        Most replicas, and the gateways that share them.
    """

    def __init__(self, handle: Any, *, most_held: int, most_queued: int, replicas: int, gateways: int) -> None:
        self._describe = handle.describe
        self._generate = handle.options(stream=True).generate
        self._most_queued = most_queued
        self._capacity = math.ceil(most_held * replicas / gateways)

    async def describe(self) -> ModelInfo:
        """Return what a replica says of itself; raises ReplicaLost."""
        try:
            info: ModelInfo = await self._describe.remote()
        except (RayError, RayServeException) as error:
            raise ReplicaLost(type(error).__name__) from None
        return info

    async def generate(self, generation: Generation) -> AsyncGenerator[Piece | Refusal, None]:
        """Generate on one replica; closing it cancels there. Raises ReplicaLost."""
        response = self._generate.remote(generation)
        finished = False
        try:
            async for item in response:
                yield item
            finished = True
        except BackPressureError:
            finished = True
            yield Refusal(
                code="queue_full",
                status=503,
                message=(
                    f"Every replica is full and {self._most_queued} requests wait for one, the most that may;"
                    " try again in a second, as Retry-After says."
                ),
            )
        except (RayError, RayServeException) as error:
            finished = True
            raise ReplicaLost(type(error).__name__) from None
        finally:
            if not finished:
                response.cancel()

    def capacity(self) -> int:
        """Return how many requests this gateway may have under way."""
        return self._capacity
