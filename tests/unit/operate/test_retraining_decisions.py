"""Approval of retraining events."""

import asyncio
import contextlib

import pytest
from click.testing import CliRunner
from support.log_tail import tail_of

from stream.settings import KafkaSettings
from stream.wire import Event, RetrainingRecord, encode
from weir.cli import main
from weir.errors import NotFoundError, SettingsError
from weir.home.api_keys import create_key
from weir.operate import retraining_decisions
from weir.operate.retraining_decisions import Decider, decide, possible_decisions, records_of, resume


def record(retraining_id, state, lease_until=None, dataset_digest=""):
    data = RetrainingRecord(
        retraining_id=retraining_id,
        state=state,
        reason="windows: has 1, needs 2",
        tenant="acme",
        model="m",
        at=5.0,
        lease_until=lease_until,
        dataset_digest=dataset_digest,
    )
    event = Event(id=retraining_id, source="t", type=data.event_type, time=5.0, data=data, partitionkey="k")
    return encode(event)


@pytest.fixture
def log(monkeypatch):
    rejected = [record("rt_r", state) for state in ("requested", "rejected", "approved", "failed")]
    tail = tail_of(record("rt_a", "suppressed"), record("rt_b", "requested"), *rejected)
    monkeypatch.setattr(retraining_decisions, "Tail", tail)


@pytest.fixture
def decider(tmp_path):
    _, secret = create_key(tmp_path, "acme", ("approve",))
    return Decider(home=tmp_path, key=secret, command="test", tenants={})


async def test_a_request_is_found_and_a_suppressed_event_is_an_error(log):
    assert [one.state for one in await records_of(KafkaSettings(), "rt_b")] == ["requested"]
    with pytest.raises(
        NotFoundError, match=r"rt_a is suppressed, not requested \(windows: has 1, needs 2\); only a request"
    ):
        await records_of(KafkaSettings(), "rt_a")
    with pytest.raises(NotFoundError, match="no retraining request 'rt_c'"):
        await records_of(KafkaSettings(), "rt_c")


async def test_a_rejected_request_can_neither_be_approved_nor_resumed(decider, log):
    with pytest.raises(SettingsError, match="rt_r was rejected by Weir, and a rejection is final"):
        await decide(KafkaSettings(), "rt_r", "approved", decider)
    with pytest.raises(SettingsError, match="a rejection is final"):
        await resume(KafkaSettings(), "rt_r", decider)


@pytest.mark.parametrize(
    ("reason", "said"), [("holiday traffic", True), ("windows: has 1, needs 2", False), ("", False)]
)
def test_a_repeated_decision_states_that_its_reason_is_not_stored(monkeypatch, tmp_path, reason, said):
    history = [record("rt_1", state) for state in ("requested", "rejected")]
    monkeypatch.setattr(retraining_decisions, "Tail", tail_of(*history))
    monkeypatch.setenv("WEIR_HOME", str(tmp_path))
    monkeypatch.setenv("WEIR_KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:1")
    _, secret = create_key(tmp_path, "acme", ("approve",))
    (tmp_path / "key").write_text(secret)
    command = ["retraining", "reject", "rt_1", "--key-file", str(tmp_path / "key"), "--reason", reason]
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 0
    assert done.stdout.startswith("rt_1 of acme/m is rejected")
    text = "rt_1 was rejected before, with the reason 'windows: has 1, needs 2'; the new reason is not stored"
    assert (text in done.stderr) is said


@pytest.mark.parametrize("kept", [True, False])
async def test_a_resumed_request_whose_dataset_was_not_kept_uses_the_reviews_since_then(decider, monkeypatch, kept):
    """The settings excluded keys of the first dataset, and the second build had too few rows."""
    states = [("requested", ""), ("dataset", "d1"), ("failed", "d1" if kept else "")]
    history = [record("rt_1", state, dataset_digest=digest) for state, digest in states]
    pinned = []

    async def pinned_until_now(_kafka, request):
        pinned.append(request.retraining_id)
        return request

    monkeypatch.setattr(retraining_decisions, "Tail", tail_of(*history))
    monkeypatch.setattr(retraining_decisions, "publish_record", lambda _kafka, data, *_, **__: asyncio.sleep(0, data))
    monkeypatch.setattr(retraining_decisions, "_pinned_until_now", pinned_until_now)
    await resume(KafkaSettings(), "rt_1", decider)
    assert pinned == ([] if kept else ["rt_1"])


@pytest.mark.parametrize("state", ["dataset", "started", "progress", "trained"])
async def test_a_run_of_weirs_trainer_can_be_rejected_but_not_approved(monkeypatch, tmp_path, state):
    history = [record("rt_1", "requested"), record("rt_1", "approved"), record("rt_1", state, lease_until=9.0)]
    published = []

    async def publish_record(_kafka, data, name, **_options):
        published.append((data.retraining_id, data.state, data.by, data.reason, name))
        return data

    monkeypatch.setattr(retraining_decisions, "Tail", tail_of(*history))
    monkeypatch.setattr(retraining_decisions, "publish_record", publish_record)
    key, secret = create_key(tmp_path, "acme", ("approve",))
    decider = Decider(home=tmp_path, key=secret, command="test", tenants={})
    with pytest.raises(SettingsError, match=rf"rt_1 is {state} by Weir; .* can be rejected until the gate has decided"):
        await decide(KafkaSettings(), "rt_1", "approved", decider)
    await decide(KafkaSettings(), "rt_1", "rejected", decider, "wrong data")
    assert published == [("rt_1", "rejected", key.id, "wrong data", "rejected")]


@pytest.mark.parametrize("state", ["started", "blessed", "canary"])
async def test_the_run_of_another_trainer_and_a_decided_version_cannot_be_rejected(decider, monkeypatch, state):
    history = [record("rt_1", "requested"), record("rt_1", state)]
    monkeypatch.setattr(retraining_decisions, "Tail", tail_of(*history))
    with pytest.raises(SettingsError, match=f"rt_1 is {state} by Weir; "):
        await decide(KafkaSettings(), "rt_1", "rejected", decider)


@pytest.mark.parametrize(
    ("states", "possible"),
    [
        (["requested"], {"approved", "rejected"}),
        (["requested", "approved"], {"rejected"}),
        (["requested", "progress"], {"rejected"}),
        (["requested", "progress", "failed"], set()),
        (["requested", "progress", "failed", "approved"], {"rejected"}),
        (["requested", "progress", "blessed"], set()),
        (["requested", "rejected"], set()),
        (["requested", "rejected", "progress"], set()),
    ],
)
async def test_the_decisions_that_are_called_possible_are_those_that_publish_a_record(
    decider, monkeypatch, states, possible
):
    published = set()

    async def publish_record(_kafka, data, _name, **_options):
        published.add(data.state)
        return data

    history = [record("rt_1", state, lease_until=9.0 if state == "progress" else None) for state in states]
    monkeypatch.setattr(retraining_decisions, "Tail", tail_of(*history))
    monkeypatch.setattr(retraining_decisions, "publish_record", publish_record)
    monkeypatch.setattr(retraining_decisions, "_pinned_until_now", lambda _kafka, one: asyncio.sleep(0, one))
    for outcome in ("approved", "rejected"):
        with contextlib.suppress(SettingsError):
            await decide(KafkaSettings(), "rt_1", outcome, decider)
    assert set(possible_decisions(await records_of(KafkaSettings(), "rt_1"))) == published == possible
