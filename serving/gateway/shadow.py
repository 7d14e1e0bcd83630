"""Shadow requests: the challenger answers a copy of a user's request, and no user receives the answer.

A copy starts after the user's answer has ended, one at a time per gateway, and only while the gateway is not busy; otherwise it
is dropped and counted. Its records have ``shadow_of``, so that drift, alerts and the gates of retraining ignore it.
"""

import asyncio
import logging
from collections.abc import Callable, MutableMapping
from dataclasses import replace
from typing import Any

import msgspec
from opentelemetry import context
from opentelemetry.context import Context

from serving.gateway.inference import Inference, Wiring
from serving.gateway.models import ServedModel
from serving.http import Reply
from serving.inference_records import InferenceRequest
from serving.openai_api.answer import ChatAnswer, CompletionAnswer
from serving.openai_api.errors import ApiError
from stream.wire.ids import shadow_request_id

__all__ = ["ShadowQueue"]

_LOG = logging.getLogger(__name__)
_WAITING = 8
#: Only these have answers that a replica generates.
_ANSWERS: dict[str, type[ChatAnswer | CompletionAnswer]] = {"chat": ChatAnswer, "text_completion": CompletionAnswer}


class ShadowQueue:
    """Runs copies of requests; `busy` returns whether users' requests need the replicas."""

    def __init__(self, wiring: Wiring, busy: Callable[[], bool]) -> None:
        self._wiring = wiring
        self._busy = busy
        self._waiting: asyncio.Queue[tuple[Context, ServedModel, InferenceRequest, str]] = asyncio.Queue(_WAITING)
        self._worker: asyncio.Task[None] | None = None

    def offer(self, model: ServedModel, request: InferenceRequest, version: str) -> None:
        """Queue a copy of `request` for the challenger `version`; drop it if too many copies wait."""
        if request.operation not in _ANSWERS or self._wiring.recorder is None:
            return
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._run())
        try:
            self._waiting.put_nowait((context.get_current(), model, request, version))
        except asyncio.QueueFull:
            self._wiring.metrics.shadows.labels("dropped").inc()

    async def _run(self) -> None:
        while True:
            parent, model, request, version = await self._waiting.get()
            token = context.attach(parent)  # the copy is in the trace of the user's request
            outcome = "dropped" if self._busy() else await self._answer(model, request, version)
            context.detach(token)
            self._wiring.metrics.shadows.labels(outcome).inc()

    async def _answer(self, model: ServedModel, request: InferenceRequest, version: str) -> str:
        target = await model.target(version)
        if target.version != version:
            return "not_loaded"
        body = {name: value for name, value in request.request.body.items() if name != "stream_options"}
        copy = replace(
            request,
            info=msgspec.structs.replace(request.info, version=version),
            request=msgspec.structs.replace(
                request.request,
                request_id=shadow_request_id(request.request_id, version),
                body=target.body(body | {"stream": False}),
                version=target.sent_version,
                shadow=True,
            ),
            shadow_of=request.request_id,
        )
        answer = _ANSWERS[request.operation](copy.request_id, model.name, version, 0, include_usage=False)
        try:
            await Inference(self._wiring, target.backend, copy, answer).run(Reply(_discard, copy.request_id))
        except ApiError as error:
            _LOG.info("shadow of request %s: %s", request.request_id, error.body()["error"]["code"])
            return "failed"
        except Exception:  # noqa: BLE001 - the boundary of a copy: no user waits for its answer
            _LOG.exception("shadow of request %s", request.request_id)
            return "failed"
        return "answered"


async def _discard(message: MutableMapping[str, Any]) -> None:
    """Send nothing."""
    del message
