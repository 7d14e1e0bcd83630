"""The models that a gateway serves: backend, description, and the check that an engine supports a request."""

import asyncio
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

import msgspec

from serving.backend import ANY_FIELD, Backend, BackendLost, Feature, ModelInfo
from serving.openai_api.errors import ApiError, invalid, unavailable
from stream.wire import RouteRecord, trained_version
from stream.wire.route_files import BASE, is_version

_DESCRIBE_SECONDS = 2.0
#: A replica loads a routed version in the background; the gateway asks for the loaded versions at most this often.
_VERSIONS_SECONDS = 1.0


class Target(msgspec.Struct, frozen=True, kw_only=True):
    """The backend and the version that answer a request, "" for the base version; `adapter` is the name of the version at vLLM, or ""."""

    backend: Backend
    version: str = ""
    adapter: str = ""

    @property
    def sent_version(self) -> str:
        """The version for a :class:`~serving.backend.ModelRequest`; vLLM selects an adapter by the model's name instead."""
        return "" if self.adapter else self.version

    def body(self, body: dict[str, Any]) -> dict[str, Any]:
        """Return the body of a request for this version."""
        return body | {"model": self.adapter} if self.adapter else body


class ServedModel:
    """One model; `info` is its last description, or None before the first. `adapters` are LoRA adapters of vLLM, by name.

    `takes_images` is the setting ``images``.
    """

    def __init__(
        self,
        name: str,
        backend: Backend,
        adapters: Mapping[str, Backend] | None = None,
        *,
        takes_images: bool = False,
    ) -> None:
        self.name = name
        self.backend = backend
        self.takes_images = takes_images
        self.info: ModelInfo | None = None
        self._adapters = adapters or {}
        self._versions_until = 0.0

    async def target(self, version: str) -> Target:
        """Return the backend for the trained version `version`, or for the base version if no replica has loaded it."""
        if not version:
            return Target(backend=self.backend)
        if version in self._adapters:
            return Target(backend=self._adapters[version], version=version, adapter=version)
        if (self.info is None or version not in self.info.versions) and time.monotonic() >= self._versions_until:
            self._versions_until = time.monotonic() + _VERSIONS_SECONDS
            with suppress(BackendLost):
                await self.refresh()
        loaded = self.info is not None and version in self.info.versions
        return Target(backend=self.backend, version=version if loaded else "")

    async def refresh(self) -> ModelInfo:
        """Get the description from the backend; raises BackendLost without an answer within two seconds."""
        try:
            async with asyncio.timeout(_DESCRIBE_SECONDS):
                self.info = await self.backend.describe()
        except TimeoutError:
            raise BackendLost("Timeout") from None
        return self.info

    async def ready_info(self) -> ModelInfo:
        """Return the last description, or get the first description; raises ApiError 503 if no backend answers."""
        try:
            return self.info or await self.refresh()
        except BackendLost:
            raise unavailable(
                "The model is not loaded yet; GET /readyz returns 200 when it is.",
                code="model_not_ready",
                retry_after_seconds=2,
            ) from None

    def card(self, created: int, route: RouteRecord | None = None) -> dict[str, object]:
        """Return the model's entry of ``GET /v1/models``; `created` is in seconds since the epoch.

        The field ``weir`` is about the version that answers most conversations; its ``others`` about the challenger.
        """
        card: dict[str, object] = {"id": self.name, "object": "model", "created": created, "owned_by": "weir"}
        if self.info is not None:
            card |= {"version": self.info.version, "engine": self.info.engine}
            if self.info.context_length:
                card["context_length"] = self.info.context_length
            if self.info.circuit_open is not None:
                card["circuit_open"] = self.info.circuit_open
        return card | {"weir": self._route(route)}

    def _route(self, route: RouteRecord | None) -> dict[str, object]:
        base = self.info.version if self.info is not None else BASE
        if route is None:
            return {"version": base, "route": "champion", "weight": 100}
        champion = {
            "version": trained_version(route.champion) or base,
            "route": "champion",
            "weight": route.weights.get(route.champion, 0),
        }
        if not route.challenger:
            return champion
        weight = route.weights.get(route.challenger, 0)
        challenger = {"version": route.challenger, "route": "canary" if weight else "shadow", "weight": weight}
        return champion | {"others": [challenger]}


class ServedModels:
    """The models of a gateway, by the names that clients use; those in `with_images` take images.

    A trained version belongs to one tenant, so no client can name it: only a route of its tenant selects it.
    """

    def __init__(self, backends: Mapping[str, Backend], with_images: Collection[str] = ()) -> None:
        trained = {name: backend for name, backend in backends.items() if is_version(name)}
        self._models = {
            name: ServedModel(name, backend, trained, takes_images=name in with_images)
            for name, backend in backends.items()
            if name not in trained
        }

    def __iter__(self) -> Iterator[ServedModel]:
        return iter(self._models.values())

    def find(self, name: str) -> ServedModel:
        """Return the model `name`; raises ApiError 404."""
        model = self._models.get(name)
        if model is None:
            names = ", ".join(map(repr, self._models))
            raise ApiError(
                404,
                f"This model is not served here; use {names}, which GET /v1/models lists.",
                code="model_not_found",
                param="model",
            )
        return model

    async def describe(self) -> None:
        """Get the description of each model without a description; raises BackendLost."""
        for model in self:
            if model.info is None:
                await model.refresh()

    async def takes_any_field(self, name: str) -> bool:
        """Return whether Weir leaves the check of a request's fields to the engine; also true if `name` is unknown."""
        model = self._models.get(name)
        return model is None or ANY_FIELD in (await model.ready_info()).features

    def takes_images(self, name: str) -> bool:
        """Return whether the model takes images; False if `name` is unknown."""
        model = self._models.get(name)
        return model is not None and model.takes_images

    def capacity(self) -> int:
        """Return the maximum number of requests that this gateway may have in progress."""
        return sum(model.backend.capacity() for model in self._models.values())


def check_features(needed: Iterable[tuple[str, Feature]], info: ModelInfo) -> None:
    """Raise ApiError 400 for the first field whose feature the engine does not have; `needed` are (field, feature)."""
    for field, feature in needed:
        if feature not in info.features:
            requires, remedy = _REMEDIES.get(feature, (None, ""))
            if requires is not None and requires not in info.features:
                remedy = ""
            raise invalid(
                f"{field} is not supported by the engine {info.engine!r} with this model; {remedy or 'leave it out'}.",
                code="unsupported_parameter",
                param=field,
            )


#: For a missing feature: the feature that the remedy requires (without it, the remedy is to leave the field out), and the remedy.
_REMEDIES: dict[Feature, tuple[Feature | None, str]] = {
    "tools": (
        "json_schema",
        "set tool_choice to 'required' or to one function, or use a model whose chat template has tools",
    ),
    "schema_or_tools": ("json_schema", "leave it out, or set tool_choice to 'none', 'required' or one function"),
    "top_logprobs": (
        "logprobs",
        "request no alternatives: logprobs true without top_logprobs, or logprobs 1 in /v1/completions",
    ),
    "images": (None, "send text only"),
    "prompt_logprobs": (None, "leave out echo or logprobs"),
}
