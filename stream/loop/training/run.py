"""Takes one request from its dataset to a version that the gate has evaluated, and publishes each state."""

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
from opentelemetry.trace import NoOpTracer, Tracer

from stream.errors import BrokerError, DatasetDamaged
from stream.loop.dataset.files import Manifest, folder_of, read_manifest
from stream.loop.settings import LoopSettings, TrainSettings
from stream.loop.spans import mark_state
from stream.loop.training.errors import LeaseLostError, TrainingError
from stream.loop.training.job import Progress, RunFolder, TrainingJob, VersionFolder, has_fast_bfloat16
from stream.loop.training.machine import Work
from stream.loop.training.manifest import read_version
from stream.loop.training.metrics import TrainerMetrics
from stream.loop.training.process import run_command, run_training
from stream.loop.training.records import model_event, state_event
from stream.wire import Event, RetrainingRecord
from stream.wire.route_files import BASE

_LOG = logging.getLogger(__name__)
#: The lease is renewed three times before it ends.
_RENEWALS = 3
_PROGRESS_SECONDS = 5.0
_MIRROR_SECONDS = 120.0
#: Time limit of the build of a dataset, and of the parts of the gate that have no limit of their own, such as loading the models. Without
#: it, a command that hangs would keep the lease of its request, and the trainer from all other requests, for ever.
_COMMAND_SECONDS = 86_400.0
_RELEASE_SECONDS = 5.0
#: A command printed another JSON value than agreed.
_DAMAGED = (AttributeError, KeyError, TypeError, ValueError)
_GATE_STATES = ("blessed", "refused")
#: {state: (state of the records that renew its lease, their reason while there are no numbers)}; other states are repeated.
_REPEATED = {"dataset": ("progress", "building the dataset"), "started": ("progress", "loading the model")}

Publish = Callable[[Event], Awaitable[None]]


class BaseModel(msgspec.Struct, frozen=True):
    """The files of a served model, and the SHA-256 of its published weights."""

    path: Path
    digest: str


class TrainerSetup(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of the stack that a run needs.

    Parameters
    ----------
    settings
        Returns the loop's settings of a tenant.
    base
        Returns the base of a served model, and fetches it if needed; raises TrainingError for an unknown model.
    dataset_command, gate_command
        Return the command that builds the dataset of a retraining id, or that evaluates a version. Each prints one JSON
        value: ``{"digest", "counts": {"train", "eval", "dropped"}}``, and ``{"decision": {"state", "reason"}, "numbers"}``.
    mlflow
        Address of the MLflow server that mirrors versions; "" if there is none.
    tracer
        Creates the spans of the states.
    by_hand
        Whether a command runs, beside the trainer of the same home.
    """

    home: Path
    train: TrainSettings
    settings: Callable[[str], LoopSettings]
    base: Callable[[str], BaseModel]
    dataset_command: Callable[[str], list[str]]
    gate_command: Callable[[str], list[str]]
    mirror_command: Callable[[str], list[str]]
    mlflow: str = ""
    tracer: Tracer = NoOpTracer()
    by_hand: bool = False

    @property
    def is_fenced(self) -> bool:
        """Whether a run must not outlive its lease, because the next trainer writes to the same folders or the same storage."""
        return self.by_hand or self.train.cluster == "ray"

    def job(self, tenant: str, model: str, dataset_digest: str, retraining_id: str = "") -> TrainingJob:
        """Return the specification of a run on a dataset of this home; fetches the base if needed."""
        base = self.base(model)
        return TrainingJob.of_settings(
            self.train,
            self.settings(tenant).train,
            tenant=tenant,
            model=model,
            parent=BASE,
            base=str(base.path),
            base_digest=base.digest,
            dataset=str(folder_of(self.home, dataset_digest)),
            dataset_digest=dataset_digest,
            retraining_id=retraining_id,
            bfloat16=has_fast_bfloat16(),
        )


async def mirror_version(setup: TrainerSetup, version: str) -> None:
    """Copy the version to MLflow, if the setup names one; a failure is only logged, because the log decides."""
    if not setup.mlflow:
        return
    try:
        await run_command(setup.mirror_command(version), _MIRROR_SECONDS)
    except TrainingError as error:
        _LOG.warning("version %s is not in MLflow: %s", version, error)


class Run:
    """One request's run by its owner in ``work.epoch``."""

    def __init__(
        self,
        setup: TrainerSetup,
        work: Work,
        publish: Publish,
        metrics: TrainerMetrics,
        show: Callable[[Progress], None] = lambda _progress: None,
    ) -> None:
        self._setup, self.work, self._publish, self._metrics, self._show = setup, work, publish, metrics, show
        self._dataset_digest, self._version = work.dataset_digest, work.model_version
        self._task: asyncio.Task[str] | None = None
        self._releases = True
        self._number = 0
        self._progress: Progress | None = None
        #: {state: time of its first record}: a record that only renews the lease has this time too.
        self._entered: dict[str, float] = {}

    def start(self) -> asyncio.Task[str]:
        """Start :meth:`run`, and return its task."""
        self._task = asyncio.create_task(self.run())
        return self._task

    async def end(self, *, releases: bool = True) -> None:
        """End the run after a checkpoint, if it runs; with `releases`, its request is free for the next trainer."""
        if self._task is not None:
            self._releases = releases
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)

    async def run(self) -> str:
        """Run to the gate's decision, and return the last state; a failure is published as ``failed``.

        Returns ``interrupted``, which is not published, if the lease was lost: the next trainer continues.
        """
        self._metrics.running.set(1)
        try:
            state = await self._states()
        except LeaseLostError as error:
            state = "interrupted"
            _LOG.warning("retraining %s: %s; a trainer continues later", self.work.request.retraining_id, error)
        except (DatasetDamaged, TrainingError, OSError, *_DAMAGED) as error:
            state = "failed"
            said = f"{type(error).__name__} in the output of a command" if isinstance(error, _DAMAGED) else str(error)
            await self._state(state, reason=said, numbers=self._numbers())
            _LOG.error("retraining %s failed: %s", self.work.request.retraining_id, error)
        finally:
            self._metrics.running.set(0)
        self._metrics.runs.labels(state).inc()
        return state

    async def _states(self) -> str:
        known, settings = self._known_dataset(), self._setup.settings(self.work.request.tenant)
        if known is not None and known.excluded_since(settings.dataset):
            self._dataset_digest = ""  # a version that was trained on it is not used either
        if not self._is_trained():
            self._version = ""
            await self._dataset()
            await self._train()
        manifest = read_version(self._setup.home, self._version)
        request_id = self.work.request.retraining_id
        await self._publish(model_event(self._setup.home, manifest, request_id, self._dataset_digest))
        async with self._leased("trained"):
            await mirror_version(self._setup, self._version)
            limit = settings.gate.max_seconds + _COMMAND_SECONDS
            report = await run_command(self._setup.gate_command(self._version), limit)
        state, reason = str(report["decision"]["state"]), str(report["decision"]["reason"])
        if state not in _GATE_STATES:
            raise TrainingError(f"the gate's state is {state}; it must be blessed or refused")
        await self._state(state, reason=reason, numbers=report["numbers"])
        return state

    def _is_trained(self) -> bool:
        """Return whether an earlier owner trained a version on this dataset, and this home contains the version."""
        home = self._setup.home
        if not (self._version and VersionFolder.of(home, self._version).manifest.exists()):
            return False
        return read_version(home, self._version).job.dataset_digest == self._dataset_digest

    async def _dataset(self) -> None:
        """Build the request's dataset if this home does not contain it, or if its manifest is damaged."""
        manifest = self._known_dataset()
        if manifest is None:
            async with self._leased("dataset"):
                command = self._setup.dataset_command(self.work.request.retraining_id)
                built = await run_command(command, _COMMAND_SECONDS)
            self._dataset_digest = str(built["digest"])
            manifest = read_manifest(folder_of(self._setup.home, self._dataset_digest))
        await self._state("dataset", numbers=manifest.numbers, lease_until=self._lease())

    def _known_dataset(self) -> Manifest | None:
        try:
            return read_manifest(folder_of(self._setup.home, self._dataset_digest))
        except DatasetDamaged:
            return None

    async def _train(self) -> None:
        request = self.work.request
        job = await asyncio.to_thread(
            self._setup.job, request.tenant, request.model, self._dataset_digest, request.retraining_id
        )
        folder = RunFolder.of(self._setup.home, request.retraining_id)
        async with self._leased("started"):
            trained = await run_training(self._setup.home, folder, job, self._on_progress, self._metrics.restarts.inc)
        self._version = trained.version

    def _on_progress(self, progress: Progress) -> None:
        self._progress = progress
        self._show(progress)
        self._metrics.step.set(progress.step)
        self._metrics.loss.set(progress.loss)

    @contextlib.asynccontextmanager
    async def _leased(self, state: str) -> AsyncIterator[None]:
        """Publish `state` with a lease, and renew the lease during the body; ``dataset`` is published after its body, with the counts.

        Raises LeaseLostError after it cancelled the body, if the run is fenced and Kafka acknowledged no renewal early enough.
        """
        until = self._lease()
        if state == "dataset":
            await self._repeat(state, until)
        else:
            await self._state(state, numbers=self._numbers(), lease_until=until)
        fence = asyncio.timeout(None)
        try:
            async with fence:
                self._extend(fence, until)
                renewing = asyncio.create_task(self._renew(state, fence))
                try:
                    try:
                        yield
                    finally:  # before the release: a renewal that Kafka stores after it would hold the lease
                        renewing.cancel()
                        await asyncio.gather(renewing, return_exceptions=True)
                except asyncio.CancelledError:
                    if self._releases and not fence.expired():
                        await self._release(state)
                    raise
        except TimeoutError:
            if not fence.expired():
                raise
            raise LeaseLostError(
                f"the lease of {self._setup.train.lease_seconds:g} s was not renewed in time, because Kafka did not answer"
            ) from None

    def _extend(self, fence: asyncio.Timeout, until: float) -> None:
        """Let the body of a fenced run continue until its lease, which Kafka has acknowledged, is nearly over."""
        if self._setup.is_fenced and not fence.expired():
            spare = self._setup.train.lease_seconds / _RENEWALS
            fence.reschedule(asyncio.get_running_loop().time() + until - time.time() - spare)

    async def _release(self, state: str) -> None:
        """End the lease now, so that the next trainer does not wait for its end."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_RELEASE_SECONDS):
                await self._repeat(state, time.time())

    async def _renew(self, state: str, fence: asyncio.Timeout) -> None:
        """Publish progress, at most every 5 s, and renew the lease before it ends."""
        renewed, shown = time.monotonic(), self._progress
        while True:
            await asyncio.sleep(min(_PROGRESS_SECONDS, self._setup.train.lease_seconds / _RENEWALS))
            due = time.monotonic() - renewed >= self._setup.train.lease_seconds / _RENEWALS
            if not due and self._progress is shown:
                continue
            began, progress, until = time.monotonic(), self._progress, self._lease()
            try:
                await self._repeat(state, until)
            except BrokerError as error:
                _LOG.warning("retraining %s: its lease is not renewed: %s", self.work.request.retraining_id, error)
                continue
            renewed, shown = began, progress
            self._extend(fence, until)

    async def _repeat(self, state: str, until: float) -> None:
        """Publish a record with a lease until `until`, in the state that renews the lease of `state`."""
        self._number += 1
        repeated, doing = _REPEATED.get(state, (state, ""))
        numbers = self._numbers()
        reason = "" if numbers else doing
        await self._state(repeated, number=self._number, reason=reason, numbers=numbers, lease_until=until)

    def _numbers(self) -> dict[str, float]:
        return self._progress.numbers() if self._progress else {}

    def _lease(self) -> float:
        return time.time() + self._setup.train.lease_seconds

    async def _state(self, state: str, *, number: int = 0, **fields: Any) -> None:
        if not number:
            self._entered[state] = time.time()
        event = state_event(
            self.work,
            state,
            self._entered.get(state, time.time()),
            number=number,
            dataset_digest=self._dataset_digest,
            model_version=self._version,
            **fields,
        )
        if not number:
            assert isinstance(event.data, RetrainingRecord)
            traceparent = mark_state(self._setup.tracer, event.data, self.work.traceparent)
            event = msgspec.structs.replace(event, traceparent=traceparent)
        await self._publish(event)
