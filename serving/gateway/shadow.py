"""Shadow requests: copies of users' requests, whose answers no user receives.

The challenger answers a copy before a canary. The version that answered the user answers another copy, several times, for the detector `consistency`.
A copy starts after the user's answer has ended, and only while the gateway is not busy and the engine has free slots; otherwise the copy is dropped
and counted. A gateway runs one copy at a time. The records of a copy have ``shadow_of``, so that drift, alerts and the gates of retraining ignore
them.
"""

import asyncio
import logging
from collections.abc import Callable, MutableMapping
from dataclasses import replace
from typing import Any, Literal

import msgspec
from opentelemetry import context
from opentelemetry.context import Context

from serving.backend import ANY_FIELD, inputs_in
from serving.errors import log_failure
from serving.gateway.inference import GENERATED, Inference, Wiring, answer_of
from serving.gateway.models import ServedModel
from serving.gateway.tenant_settings import ConsistencySettings
from serving.http import Reply
from serving.inference_records import InferenceRequest
from serving.openai_api.errors import ApiError
from stream.wire import trained_version
from stream.wire.ids import consistency_request_id, shadow_request_id

_LOG = logging.getLogger(__name__)
_WAITING = 8
#: Fields of the user's request that a copy does not have; its answer is not streamed, and log-probabilities are not recorded.
_NOT_COPIED = frozenset({"stream", "stream_options", "logprobs", "top_logprobs"})


class _Copy(msgspec.Struct, frozen=True, kw_only=True):
    """A request that waits; `version` answers it, and `trace` is that of the user's request."""

    purpose: Literal["challenger", "consistency"]
    request: InferenceRequest
    model: ServedModel
    version: str
    trace: Context


class ShadowQueue:
    """Runs copies of requests; `busy` returns whether users' requests need the replicas."""

    def __init__(self, wiring: Wiring, busy: Callable[[], bool]) -> None:
        self._wiring = wiring
        self._busy = busy
        self._waiting: asyncio.Queue[_Copy] = asyncio.Queue(_WAITING)
        self._worker: asyncio.Task[None] | None = None

    def challenge(self, model: ServedModel, request: InferenceRequest, version: str) -> None:
        """Queue a copy of `request` for the challenger `version`; drop it if too many copies wait."""
        name = shadow_request_id(request.request_id, version)
        info = msgspec.structs.replace(request.info, version=version)
        self._offer("challenger", model, replace(_copy(request, name), info=info), version)

    def ask_again(
        self, model: ServedModel, request: InferenceRequest, answer: str, settings: ConsistencySettings
    ) -> None:
        """Queue a copy of `request` for the version that returned `answer`, with several choices; drop it if too many copies wait.

        A completion of several prompts is not asked again, because its further answers do not name their prompt. A completion with `echo` is not
        asked again, because all its answers begin with the prompt.
        """
        body = request.request.body
        if inputs_in(body.get("prompt")) > 1 or body.get("echo"):
            return
        name = consistency_request_id(request.request_id)
        # An engine rejects a `best_of` below `n`.
        copy = _copy(request, name, seed=None, best_of=None, n=settings.samples, temperature=settings.temperature)
        self._offer("consistency", model, replace(copy, compared=answer), trained_version(request.info.version))

    def _offer(
        self, purpose: Literal["challenger", "consistency"], model: ServedModel, copy: InferenceRequest, version: str
    ) -> None:
        if copy.operation not in GENERATED or self._wiring.recorder is None:
            return
        if self._worker is None or self._worker.done():
            self._worker = asyncio.create_task(self._run())
        try:
            self._waiting.put_nowait(
                _Copy(purpose=purpose, request=copy, model=model, version=version, trace=context.get_current())
            )
        except asyncio.QueueFull:
            self._wiring.metrics.shadows.labels(purpose, "dropped").inc()

    async def _run(self) -> None:
        while True:
            copy = await self._waiting.get()
            token = context.attach(copy.trace)
            outcome = await self._outcome(copy)
            context.detach(token)
            self._wiring.metrics.shadows.labels(copy.purpose, outcome).inc()

    async def _outcome(self, copy: _Copy) -> str:
        name = copy.request.shadow_of
        try:
            if self._busy() or not await _has_room(copy):
                return "dropped"
            return await self._answer(copy)
        except ApiError as error:
            _LOG.info("shadow of request %s: %s", name, error.code)
        except Exception as error:  # noqa: BLE001 - the boundary of a copy: no user waits for its answer
            log_failure(_LOG, f"shadow of request {name}", error)
        return "failed"

    async def _answer(self, copy: _Copy) -> str:
        target = await copy.model.target(copy.version)
        if target.version != copy.version:
            return "not_loaded"
        sent = msgspec.structs.replace(
            copy.request.request, body=target.body(copy.request.request.body), version=target.sent_version
        )
        request = replace(copy.request, request=sent)
        answer = answer_of(request, 0, relayed=ANY_FIELD in request.info.features, include_usage=False)
        await Inference(self._wiring, target.backend, request, answer).run(Reply(_discard, request.request_id))
        return "answered"


async def _has_room(copy: _Copy) -> bool:
    """Return whether a replica has a free slot for each answer; the slots of another server are not known."""
    stats = (await copy.model.refresh()).stats
    answers = min(copy.request.request.body.get("n") or 1, stats.slots)
    return not stats.slots or stats.running + stats.waiting + answers <= stats.slots


def _copy(request: InferenceRequest, name: str, **changes: Any) -> InferenceRequest:
    """Return a copy of `request` with the id `name`; `changes` are fields of its body, and a field with None is removed."""
    body = {field: value for field, value in request.request.body.items() if field not in _NOT_COPIED} | changes
    sent = {field: value for field, value in body.items() if field not in changes or value is not None}
    # Some providers store what does not forbid it; others do not know the field.
    fixed = {"stream": False} | ({"store": False} if "store" in sent else {})
    return replace(
        request,
        request=msgspec.structs.replace(request.request, request_id=name, body=sent | fixed, shadow=True),
        shadow_of=request.request_id,
    )


async def _discard(message: MutableMapping[str, Any]) -> None:
    """Send nothing."""
    del message
