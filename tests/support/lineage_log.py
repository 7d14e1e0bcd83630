"""The log and the dataset of a version that was trained and promoted, and of a bad version that an operator made from it."""

import time

from stream.files import file_digest
from stream.loop.dataset.files import Counts, Manifest, folder_of, write_manifest, write_rows
from stream.loop.dataset.rows import Row, Turn, digest_of
from stream.wire import AlertRecord, Event, FindingRecord, LogRange, ModelRecord, RetrainingRecord, RouteRecord
from support.events import event_of
from support.ledger_log import request, verdict

GOOD, BAD = "m_0123456789ab", "m_ba9876543210"
OWN = {"tenant": "acme", "model": "smollm2"}
TOXIC = tuple(f"toxic-{number:02}" for number in range(12))
DRIFTED = tuple(f"drift-{number:02}" for number in range(5))
REVIEWED = tuple(f"row-{number:02}" for number in range(20))


def write_dataset(home, names) -> str:
    """Write a dataset with a row of each reviewed request; return its digest."""
    rows = [
        Row(
            id=name, kind="sft", prompt=(Turn(role="user", content="canary-prompt"),), completion="canary-answer",
            label=None, source="correction", conversation=name, cluster=0, principal="k_ann",
        )
        for name in REVIEWED
    ]  # fmt: skip
    train, held_out = rows[:16], rows[16:]
    digest = digest_of(train, held_out)
    folder = folder_of(home, digest)
    write_rows(folder, train, held_out)
    data = LogRange(topic=names.inference, first={"0": 0}, last={"0": 99})
    manifest = Manifest(
        digest=digest, retraining_id="rt_1", ranges=(data,), counts=Counts(train=16, eval=4),
        files={path.name: file_digest(path) for path in folder.glob("*.parquet")}, **OWN,
    )  # fmt: skip
    write_manifest(folder, manifest)
    return digest


def _state(name, at, retraining_id="rt_1", **fields):
    data = RetrainingRecord(retraining_id=retraining_id, state=name, at=at, **({"reason": ""} | OWN | fields))
    return event_of(data, f"{retraining_id}/{name}", at, key=retraining_id)


def _route(epoch, at, weights, **fields):
    data = RouteRecord(epoch=epoch, at=at, weights=weights, **({"by": "delivery"} | OWN | fields))
    return event_of(data, f"route/{epoch}", at, key=f"route/{epoch}")


def _model(version, at, **fields):
    data = ModelRecord(version=version, at=at, method="sft", adapter_digest="ab" * 32, **OWN, **fields)
    return event_of(data, version, at, key=version)


def _alert(alert_id, detector, evidence, at, summary):
    data = AlertRecord(
        alert_id=alert_id, detector=detector, evidence=evidence, evidence_total=len(evidence), opened_at=at, at=at,
        state="firing", severity="warning", side="input", summary=summary, **OWN,
    )  # fmt: skip
    return event_of(data, f"{alert_id}/0", at, key=alert_id)


def lineage(names, digest, *, without=frozenset()) -> list[tuple[str, Event]]:
    """Return (topic, event) of the whole log, without the events with an id in `without`."""
    now = time.time() - 600
    asked = [request(name, now, owed=(), tenant="acme", model="smollm2") for name in (*TOXIC, *DRIFTED, *REVIEWED)]
    flagged = [verdict(one, "toxicity", flagged=True, label="toxic") for one in asked[: len(TOXIC)]]
    drift = FindingRecord(
        side="input", detector="drift", version="1", time=now + 4, bucket=1, evidence=DRIFTED, alarm=True, **OWN
    )
    data = LogRange(topic=names.inference, first={"0": 0}, last={"0": 99})
    bad = {"retraining_id": "rt_2", "model_version": BAD, "by": "demo"}
    events = [
        *((names.inference, event) for event in asked),
        *((names.verdicts, event) for event in flagged),
        (names.findings, event_of(drift, "drift/1", now + 4)),
        (names.alerts, _alert("al_toxic", "toxicity", TOXIC, now + 1, "Toxic language in prompts to smollm2: 12 findings, 3 API keys.")),
        (names.alerts, _alert("al_drift", "drift", DRIFTED, now + 4, "Prompt drift on smollm2: 100 % of recent prompts are outside the reference region.")),
        (names.retraining, _state("requested", now + 10, alert_ids=("al_toxic", "al_drift"), data=data, reason="drift and toxicity agree: 2 windows, 85 events, 4 API keys")),
        (names.retraining, _state("approved", now + 20, by="k_approver", reason="reviewed")),
        (names.retraining, _state("dataset", now + 30, dataset_digest=digest, by="trainer", numbers={"train": 16.0, "eval": 4.0})),
        (names.retraining, _state("trained", now + 60, model_version=GOOD, by="trainer", numbers={"loss": 3.795, "step": 10.0, "steps": 10.0, "seconds": 31.9})),
        (names.models, _model(GOOD, now + 60, parent="base", dataset_digest=digest, retraining_id="rt_1")),
        (names.retraining, _state("blessed", now + 90, model_version=GOOD, by="trainer", reason="not worse by 0.25 or more in tasks, safety (alpha 0.05)", numbers={"e_tasks": 41.0, "e_safety": 32.5})),
        (names.retraining, _state("canary", now + 100, model_version=GOOD, by="delivery", numbers={"epoch": 1.0})),
        (names.models, _route(1, now + 100, {"base": 95, GOOD: 5}, champion="base", challenger=GOOD, retraining_id="rt_1", reason="canary 5 %")),
        (names.retraining, _state("canary", now + 120, model_version=GOOD, by="delivery", numbers={"epoch": 2.0})),
        (names.models, _route(2, now + 120, {"base": 50, GOOD: 50}, champion="base", challenger=GOOD, retraining_id="rt_1", reason="canary 50 %")),
        (names.models, _route(3, now + 140, {GOOD: 100}, champion=GOOD, retraining_id="rt_1", reason="15 verdicts without evidence of harm")),
        (names.retraining, _state("promoted", now + 140, model_version=GOOD, by="delivery", numbers={"epoch": 3.0})),
        (names.models, _model(BAD, now + 150, parent=GOOD)),
        (names.retraining, _state("blessed", now + 151, reason="the demo forces a bad version past the gate", **bad)),
        (names.retraining, _state("canary", now + 152, "rt_2", model_version=BAD, by="delivery", numbers={"epoch": 4.0})),
        (names.models, _route(4, now + 152, {GOOD: 50, BAD: 50}, champion=GOOD, challenger=BAD, retraining_id="rt_2", reason="canary 50 %")),
        (names.models, _route(5, now + 160, {GOOD: 100}, champion=GOOD, retraining_id="rt_2", reason="repetition: 9 of 9 answers of the challenger are flagged, 0 of 14 of the champion")),
        (names.retraining, _state("rolled_back", now + 160, "rt_2", model_version=BAD, by="delivery", numbers={"epoch": 5.0})),
    ]  # fmt: skip
    return [(topic, event) for topic, event in events if event.id not in without]
