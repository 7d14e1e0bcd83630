"""The gateway's backend for a model, or a LoRA adapter, of vLLM replicas."""

from typing import Any

from serving.backend import ModelRequest
from serving.replica.ray_backend import RayBackend
from serving.settings import ModelSettings


class RoutedRequest(ModelRequest, frozen=True, kw_only=True):
    """A request with the attribute from which Ray Serve LLM's prefix-aware router reads the prompt."""

    @property
    def prompt(self) -> Any:
        """The messages, or the prompt or input."""
        return self.body.get("messages") or self.body.get("prompt") or self.body.get("input") or ""


class VllmBackend(RayBackend):
    """Calls the replicas of ``serving.vllm``; `adapter` is the name of a LoRA adapter, or "" for the model itself.

    The other parameters are those of :class:`serving.replica.ray_backend.RayBackend`.
    """

    def __init__(self, handle: Any, settings: ModelSettings, gateways: int, adapter: str = "") -> None:
        super().__init__(handle, settings, gateways)
        self._described = (adapter,) if adapter else ()

    def _sent(self, request: ModelRequest) -> ModelRequest:
        return RoutedRequest(request_id=request.request_id, operation=request.operation, body=request.body)

    def capacity(self) -> int:
        """Return the maximum number of requests that this gateway accepts; 0 for an adapter, which shares its model's replicas."""
        return 0 if self._described else super().capacity()
