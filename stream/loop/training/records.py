"""Builds the trainer's records: the states of a request, and the version that it made."""

import time
from pathlib import Path
from typing import Any

from stream.loop.training.job import VersionFolder
from stream.loop.training.machine import Work
from stream.loop.training.manifest import VersionManifest
from stream.stages.retrain.records import retraining_event
from stream.wire import Event, ModelRecord, RetrainingRecord, version_key
from stream.wire.ids import model_id

#: The source of the events, and `by` in the records.
TRAINER = "trainer"
_SOURCE = "weir/trainer"


def state_event(work: Work, state: str, at: float, *, number: int = 0, **fields: Any) -> Event:
    """Return the event of a state of `work`; `number` distinguishes repeated states, and `fields` are further fields of the record."""
    request = work.request
    record = RetrainingRecord(
        retraining_id=request.retraining_id,
        state=state,
        tenant=request.tenant,
        model=request.model,
        at=at,
        alert_ids=request.alert_ids,
        epoch=work.epoch,
        **{"reason": "", "by": TRAINER} | fields,
    )
    name = f"{state}/{work.epoch}/{number}" if number else f"{state}/{work.epoch}"
    return retraining_event(record, source=_SOURCE, name=name, causationid=request.retraining_id)


def model_event(home: Path, manifest: VersionManifest, retraining_id: str = "", dataset_digest: str = "") -> Event:
    """Return the event of a version in the stack's home, at the present time.

    `retraining_id` is the request that the version is for, and `dataset_digest` its dataset; the manifest names the first request and dataset
    for which these weights were made.
    """
    job, folder, at = manifest.job, VersionFolder.of(home, manifest.version), time.time()
    retraining_id = retraining_id or job.retraining_id
    record = ModelRecord(
        tenant=job.tenant,
        model=job.model,
        version=manifest.version,
        at=at,
        parent=job.parent,
        method=job.method,
        base_digest=job.base_digest,
        adapter_digest=manifest.adapter_digest,
        weights_digest=manifest.weights_digest,
        dataset_digest=dataset_digest or job.dataset_digest,
        retraining_id=retraining_id,
        uri=folder.path.absolute().as_uri(),
        metrics=manifest.numbers,
        card=folder.card.read_text(encoding="utf-8"),
    )
    return Event(
        id=model_id(job.tenant, job.model, manifest.version, record.retraining_id, record.dataset_digest),
        source=_SOURCE,
        type=ModelRecord.event_type,
        time=at,
        data=record,
        subject=manifest.version,
        causationid=retraining_id,
        partitionkey=version_key(job.tenant, job.model, manifest.version),
    )
