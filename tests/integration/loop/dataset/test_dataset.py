"""`weir dataset` on a real Kafka, with the shipped detectors."""

import json
import random

import msgspec
import pytest
from support.commands import Commands
from support.dataset_log import (
    LOOSE,
    MODEL,
    START,
    TENANT,
    WordScanner,
    approval,
    correction,
    exchange,
    thumb,
    verdict,
    words,
)
from support.events import event_of
from support.kafka_log import fresh_topics, sender

from stream.kafka.clients import consumer_for
from stream.kafka.time_ranges import log_range
from stream.loop.dataset.curate import curate
from stream.loop.dataset.files import read_manifest, read_rows
from stream.loop.dataset.log import read_exchanges, request_between, request_for
from stream.wire import LogRange, RetrainingRecord

pytestmark = pytest.mark.kafka

ROWS = 24
#: Another order of sets and dictionaries, another time zone, another locale, another number of threads.
ANOTHER_MACHINE = {
    "PYTHONHASHSEED": "4711",
    "TZ": "Asia/Kathmandu",
    "LC_ALL": "C",
    "PYTHONUTF8": "0",
    "PYTHONCOERCECLOCALE": "0",
    "OMP_NUM_THREADS": "3",
    "OPENBLAS_NUM_THREADS": "3",
}
PERSONAL = [f"person{number}@example.org" for number in range(25)]
TOXIC = [
    f"you are a worthless idiot and i hate you, go and die, you piece of shit. {words(number, 4)}"
    for number in range(25)
]
SETTINGS = {"min_examples": 10, "min_principals": 3, "max_per_principal": 100, "eval_share": 0.1}


def traffic():
    """Return the events of two topics: reviewed answers, and 50 with personal data or toxic text that no verdict flags."""
    inference, feedback = [], []
    for number in range(ROWS):
        name = f"q{number}"
        inference += [*exchange(name, group=None, author=f"k{number % 5}"), approval(name, by=f"r{number % 4}")]
        feedback.append(thumb(name, by=f"u{number % 6}"))
    for number, address in enumerate(PERSONAL):
        name = f"mail{number}"
        inference += exchange(name, prompt=f"my address is {address}, {words(name)}", author=f"k{number % 5}")
        inference.append(correction(name, f"I will write to {address} about {words(number)}", by=f"r{number % 4}"))
    for number, text in enumerate(TOXIC):
        name = f"toxic{number}"
        inference += [*exchange(name, author=f"k{number % 5}"), correction(name, text, by=f"r{number % 4}")]
    return inference, feedback


async def ends(kafka, topic):
    async with consumer_for(kafka.client_options()) as consumer:
        return await log_range(consumer, topic, kafka.partitions, None, None)


async def request(kafka, send, identity, at, after=None, *, state="requested"):
    """Publish a request that pins the present ends of the log, as the stage of retraining does; `after` is the end of an earlier range."""
    names = kafka.names
    pins = [await ends(kafka, topic) for topic in (names.inference, names.verdicts, names.feedback)]
    assert isinstance(pins[0], LogRange)
    if after is not None:
        pins[0] = msgspec.structs.replace(pins[0], first=after)
    record = RetrainingRecord(
        retraining_id=identity, state=state, reason="test", tenant=TENANT, model=MODEL, at=START + at, data=pins[0],
        pins=tuple(pins[1:]), versions={"code": "abc"},
    )  # fmt: skip
    await send.send(names.retraining, event_of(record, identity, START + at))
    return record


async def promote(kafka, send, identity, digest, at):
    """Publish the records of the trainer and of delivery about a promoted version; only those of the trainer name the dataset."""
    version = {"model_version": "m_111111111111"}
    for state, fields in (("trained", version | {"dataset_digest": digest}), ("promoted", version)):
        record = RetrainingRecord(
            retraining_id=identity, state=state, reason="test", tenant=TENANT, model=MODEL, at=START + at, **fields
        )
        await send.send(kafka.names.retraining, event_of(record, f"{identity}/{state}", START + at))


@pytest.fixture
async def kafka(apache_broker):
    return await fresh_topics(apache_broker.bootstrap)


async def fill(kafka, send):
    inference, feedback = traffic()
    for partition in (0, 1):
        await send.send(kafka.names.inference, *inference[partition::2], partition=partition)
    await send.send(kafka.names.feedback, *feedback)
    await send.send(kafka.names.verdicts, verdict("q0", "injection"))
    await request(kafka, send, "rt_first", 100.0)


async def test_the_command_builds_and_rebuilds_a_dataset_without_personal_data_and_toxic_text(kafka, tmp_path):
    commands = Commands(tmp_path, kafka)
    commands.env["WEIR_TENANTS"] = json.dumps({TENANT: {"loop": {"dataset": SETTINGS}}})
    async with sender(kafka) as send:
        await fill(kafka, send)
    built = await commands.run("dataset", "build", "--for", "rt_first", "--json", seconds=250)
    assert built.returncode == 0, built.stderr
    manifest = json.loads(built.stdout)
    counts, folder = manifest["counts"], tmp_path / "loop" / "datasets" / manifest["digest"]
    assert counts["train"] + counts["eval"] + sum(counts["dropped"].values()) == ROWS + len(PERSONAL) + len(TOXIC)
    assert counts["train"] >= 30, counts
    assert counts["dropped"]["injection"] >= 1
    assert counts["dropped"]["toxicity"] >= len(TOXIC)
    assert [item["topic"] for item in manifest["ranges"]] == [
        f"{kafka.topic_prefix}{name}" for name in ("inference", "verdicts", "feedback", "signals")
    ]
    assert manifest["versions"]["code"] == "abc"
    assert manifest["versions"]["scanner:pii"]
    for path in folder.iterdir():
        content = path.read_bytes()
        assert not [text for text in (*PERSONAL, *TOXIC) if text.encode() in content], path.name
    commands.env |= ANOTHER_MACHINE
    verified = await commands.run("dataset", "verify", manifest["digest"][:10], "--rebuild", seconds=250)
    assert (verified.returncode, verified.stdout.splitlines()[-1]) == (0, "the rebuilt rows have the same digest"), (
        verified.stderr
    )
    assert "reading records" in verified.stderr
    async with sender(kafka) as send:
        await promote(kafka, send, "rt_first", manifest["digest"], 150.0)
        later = [
            event
            for n in range(ROWS)
            for event in (*exchange(f"new{n}", at=200.0), approval(f"new{n}", by=f"r{n % 4}"))
        ]
        await send.send(kafka.names.inference, *later)
        await request(kafka, send, "rt_second", 300.0, after=read_manifest(folder).ranges[0].last)
    second = await commands.run("dataset", "build", "--for", "rt_second", "--json", seconds=250)
    assert second.returncode == 0, second.stderr
    assert json.loads(second.stdout)["parent"] == manifest["digest"]
    before = {row.id for row in read_rows(folder, "train")}
    rows = read_rows(folder.parent / json.loads(second.stdout)["digest"], "train")
    replayed = {row.id for row in rows if row.source == "replay"}
    assert replayed < before
    assert len(replayed) == len(rows) // 5, "a fifth of the rows is replayed (replay_share)"
    unknown = await commands.run("dataset", "build", "--for", "rt_other")
    assert unknown.returncode == 1
    assert "contains no request 'rt_other' with offsets" in unknown.stderr
    log = (tmp_path / "logs" / "access.log").read_text().splitlines()
    assert [json.loads(line)["command"] for line in log] == [
        "weir dataset build",
        "weir dataset verify --rebuild",
        "weir dataset build",
    ]


async def curated(kafka, identity, kind="sft"):
    pinned = await request_for(kafka, identity)
    join = await read_exchanges(kafka, pinned)
    return pinned, curate(join.exchanges(), LOOSE, kind, WordScanner())


async def test_both_passes_over_the_log_report_their_progress(kafka):
    async with sender(kafka) as send:
        await send.send(kafka.names.verdicts, *[verdict("q0", "pii")] * 1_100)
    reports = []
    pinned = await request_between(kafka, TENANT, MODEL, None, None)
    await read_exchanges(kafka, pinned, lambda done, total: reports.append((done, total)))
    assert reports == [(1_000, 2_200), (2_000, 2_200), (2_200, 2_200)]


async def test_records_after_the_pinned_offsets_change_only_a_later_request(kafka):
    async with sender(kafka) as send:
        await fill(kafka, send)
        first = {kind: (await curated(kafka, "rt_first", kind))[1].digest for kind in ("sft", "kto")}
        await send.send(kafka.names.inference, *exchange("later", author="k9"), approval("later", at=200.0))
        await send.send(kafka.names.feedback, thumb("q1", "down", by="u1", at=200.0))
        assert {kind: (await curated(kafka, "rt_first", kind))[1].digest for kind in ("sft", "kto")} == first
        await promote(kafka, send, "rt_first", first["sft"], 150.0)
        await request(kafka, send, "rt_second", 300.0)
    pinned, found = await curated(kafka, "rt_second")
    assert found.digest != first["sft"]
    assert "later" in {row.id for row in found.train}
    assert pinned.parent == first["sft"]


async def test_a_request_that_is_published_again_after_its_approval_does_not_change_the_offsets(kafka):
    async with sender(kafka) as send:
        await send.send(kafka.names.inference, *exchange("early"))
        record = await request(kafka, send, "rt_first", 100.0)
        await send.send(kafka.names.inference, approval("early", at=150.0))
        approved = await request(kafka, send, "rt_first", 200.0, state="approved")
        await send.send(kafka.names.retraining, event_of(record, "rt_first", record.at))
    assert record.data != approved.data
    assert (await request_for(kafka, "rt_first")).ranges[0] == approved.data


async def test_records_in_another_order_and_in_other_partitions_give_the_same_digest(kafka):
    other = await fresh_topics(kafka.bootstrap_servers, partitions=5)
    draw = random.Random(5)
    inference, feedback = traffic()
    async with sender(kafka) as send, sender(other) as send_other:
        await fill(kafka, send)
        for topic, events in (("inference", inference), ("feedback", feedback)):
            drawn = draw.sample(events, len(events)) + events[:20]  # 20 duplicates
            for partition in range(5):
                await send_other.send(getattr(other.names, topic), *drawn[partition::5], partition=partition)
        await send_other.send(other.names.verdicts, verdict("q0", "injection"), partition=3)
        await request(other, send_other, "rt_first", 100.0)
    for kind in ("sft", "kto"):
        (_, first), (_, second) = await curated(kafka, "rt_first", kind), await curated(other, "rt_first", kind)
        assert first.digest == second.digest
        assert first.dropped == second.dropped
