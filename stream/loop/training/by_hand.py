"""Training by a command instead of by the trainer process."""

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

import msgspec
from prometheus_client import CollectorRegistry

from stream.kafka.tail import Tail
from stream.loop.dataset.files import Manifest, find, read_manifest
from stream.loop.training.agent import publisher_for
from stream.loop.training.errors import TrainingError
from stream.loop.training.job import Progress, RunFolder
from stream.loop.training.machine import TrainerMachine, Work
from stream.loop.training.manifest import VersionManifest, read_version
from stream.loop.training.metrics import TrainerMetrics
from stream.loop.training.process import run_training
from stream.loop.training.records import model_event
from stream.loop.training.run import Run, TrainerSetup, mirror_version
from stream.settings import KafkaSettings
from stream.wire import RetrainingRecord

_ATTEMPTS = 5
#: In these states a new run would change the delivery of the first version: if the run failed, its canary would end.
_DELIVERED = frozenset({"shadow", "canary", "promoted", "rolled_back", "expired"})


async def train_dataset(
    setup: TrainerSetup, kafka: KafkaSettings, digest: str, on_progress: Callable[[Progress], None]
) -> VersionManifest:
    """Train on the dataset `digest` without a retraining request, and publish the version.

    A run that was interrupted is continued. Raises DatasetDamaged if the dataset is unknown, and TrainingError if the run fails.
    """
    dataset = _dataset(setup, digest)
    job = await asyncio.to_thread(setup.job, dataset.tenant, dataset.model, dataset.digest)
    folder = RunFolder.of(setup.home, dataset.digest)
    trained = await run_training(setup.home, folder, job, on_progress, lambda: None)
    manifest = read_version(setup.home, trained.version)
    await publisher_for(kafka, _ATTEMPTS)(model_event(setup.home, manifest))
    await mirror_version(setup, manifest.version)
    return manifest


async def train_request(
    setup: TrainerSetup, kafka: KafkaSettings, retraining_id: str, digest: str, on_progress: Callable[[Progress], None]
) -> str:
    """Work on a retraining request with the dataset `digest`, publish each state, and return the last one.

    The run ends if the request is rejected (result ``rejected``), if another trainer owns the request, or if Kafka does not renew the lease (result
    ``interrupted``).

    Raises DatasetDamaged if the dataset is unknown, and TrainingError if the request is unknown, if both are of different tenants
    or models, if the settings exclude rows of the dataset by now, if a trainer works on the request, or if delivery has its version.
    """
    work = _with_dataset(await _work(setup, kafka, retraining_id), _dataset(setup, digest))
    metrics = TrainerMetrics(CollectorRegistry())
    run = Run(msgspec.structs.replace(setup, by_hand=True), work, publisher_for(kafka, _ATTEMPTS), metrics, on_progress)
    running, ending = run.start(), asyncio.create_task(_must_end(setup, kafka, work))
    try:
        await asyncio.wait((running, ending), return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            return running.result()
        state = ending.result()
        await run.end(releases=False)
        return state
    finally:
        ending.cancel()
        await run.end()
        await asyncio.gather(ending, return_exceptions=True)


def _dataset(setup: TrainerSetup, digest: str) -> Manifest:
    """Return the dataset `digest`; raises DatasetDamaged if it is unknown, TrainingError if it has rows that the settings exclude by now."""
    dataset = read_manifest(find(setup.home, digest))
    if excluded := dataset.excluded_since(setup.settings(dataset.tenant).dataset):
        raise TrainingError(
            f'dataset {dataset.digest} was built before [tenants."{dataset.tenant}".loop.dataset] excluded API keys ({", ".join(excluded)});'
            " build it again with `weir dataset build`"
        )
    return dataset


def _with_dataset(work: Work, dataset: Manifest) -> Work:
    """Return `work` with `dataset`; raises TrainingError if they are of different tenants or models."""
    request = work.request
    if (dataset.tenant, dataset.model) != (request.tenant, request.model):
        raise TrainingError(
            f"dataset {dataset.digest} is of tenant {dataset.tenant}, model {dataset.model}, and the request is of tenant"
            f" {request.tenant}, model {request.model}; see `weir dataset list`"
        )
    return msgspec.structs.replace(work, dataset_digest=dataset.digest)


async def _work(setup: TrainerSetup, kafka: KafkaSettings, retraining_id: str) -> Work:
    machine = TrainerMachine(setup.settings)
    async for _ in _applied(machine, Tail(kafka.client_options(), kafka.names.retraining, follow=False)):
        pass
    work = machine.work_on(retraining_id)
    if work is None:
        raise TrainingError(f"{kafka.names.retraining} has no request {retraining_id}; see `weir retraining`")
    state = machine.state(retraining_id)
    if state == "rejected":
        raise TrainingError(f"retraining {retraining_id} is rejected, and a rejection is final; train without --for")
    if state in _DELIVERED:
        raise TrainingError(
            f"retraining {retraining_id} is {state}, so delivery has its version, and delivers no second one; train without --for, then"
            " use `weir gate` and `weir models promote`"
        )
    if (left := machine.lease_until(retraining_id) - time.time()) > 0:
        raise TrainingError(
            f"a trainer works on retraining {retraining_id} (its lease ends in {left:.0f} s); wait until it ends, or train without --for"
        )
    return work


async def _must_end(setup: TrainerSetup, kafka: KafkaSettings, work: Work) -> str:
    """Wait until the run of `work` must end; return ``rejected``, or ``interrupted`` if another trainer owns the request."""
    machine = TrainerMachine(setup.settings)
    tail = Tail(kafka.client_options(), kafka.names.retraining, since=0.0)
    async with aclosing(_applied(machine, tail)) as applied:
        async for _ in applied:
            if machine.must_end(work):
                break
    return "rejected" if machine.state(work.request.retraining_id) == "rejected" else "interrupted"


async def _applied(machine: TrainerMachine, tail: Tail) -> AsyncGenerator[None, None]:
    """Apply the records of `tail` to `machine`; yield after each."""
    async with aclosing(tail.events()) as events:
        async for _, event in events:
            if isinstance(event.data, RetrainingRecord):
                machine.apply(event.data, event.traceparent)
                yield
