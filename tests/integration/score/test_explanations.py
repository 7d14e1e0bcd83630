"""From a toxic prompt to the words that ``weir show`` names: score, the log, the ledger, the command."""

import asyncio
import json

import pytest
from opentelemetry.sdk.trace import TracerProvider
from prometheus_client import CollectorRegistry
from support.commands import Commands
from support.score_stack import request
from support.stage_lab import P

from stream.ledger.queries.ledger_reader import LedgerReader
from stream.ledger.service import run_ledger
from stream.settings import DetectorSettings, LedgerSettings, ScoreSettings
from stream.stages.score_app import model_spec
from stream.wire import ExplanationRecord, Verdict, partition_for

pytestmark = pytest.mark.kafka

TOXIC = "The weather is fine and the garden is green. You are a worthless idiot and I hate you."
FLOOD = 40


async def _told(lab) -> list:
    return [(record, event) for record, event in await lab.verdicts() if isinstance(event.data, ExplanationRecord)]


@pytest.mark.timeout(400)  # the encoder loads in a spawned process, on a machine that is busy with other tests
async def test_a_toxic_prompt_is_shown_with_the_words_that_it_alerted_for_and_a_flood_stays_bounded(lab, tmp_path):
    registry, stop = CollectorRegistry(), asyncio.Event()
    spec = model_spec(DetectorSettings(input=("toxicity",), output=()), ScoreSettings())
    app = lab.score_app(spec=spec, registry=registry, deadline_seconds=60, explain_findings=3, explain_seconds=200)
    ask = request("r1", TOXIC, owed=("toxicity",))
    await lab.append(ask, request("r2", "How do I boil an egg?", owed=("toxicity",)))
    flood = [request(f"f{n}", f"{TOXIC} {n}", at=101.0 + n / 100, owed=("toxicity",)) for n in range(FLOOD)]
    ledger = asyncio.create_task(
        run_ledger(
            directory=tmp_path / "ledger",
            kafka=lab.kafka,
            ledger=LedgerSettings(),
            registry=CollectorRegistry(),
            tracer_provider=TracerProvider(),
            stop=stop,
            health={},
        )
    )
    try:
        async with lab.running(app):
            await lab.settled(app, 200)
            await lab.eventually(lambda: _told(lab), 100)
            await lab.append(*flood)
            await lab.settled(app, 200)

            async def explained() -> bool:
                return len(await _told(lab)) == 3

            await lab.eventually(explained, 150)
        await _shown(lab, tmp_path)
    finally:
        stop.set()
        await asyncio.wait_for(ledger, 30)
    told = await _told(lab)
    assert len(told) == 3
    outcomes = {"detector": "toxicity", "outcome": "enough"}
    assert registry.get_sample_value("weir_score_explanations_total", outcomes) == FLOOD - 2
    judged = {event.data.event_id for _, event in await lab.verdicts() if isinstance(event.data, Verdict)}
    assert len(judged) == FLOOD + 2, "every event has its verdict, whatever is explained"
    record, event = next((record, event) for record, event in told if event.data.event_id == "r1/request")
    assert (record.key, record.partition) == (ask.partitionkey.encode(), partition_for(ask.partitionkey, P))
    assert (event.correlationid, event.time) == ("r1", ask.time)
    assert b"idiot" not in record.value


async def _shown(lab, tmp_path) -> None:
    """Check what ``weir show`` prints of it, once the ledger has read it."""
    (tmp_path / "ports.json").write_text("{}")
    reader, commands = LedgerReader(tmp_path / "ledger"), Commands(tmp_path, lab.kafka)

    async def read() -> bool:
        story = reader.request("r1") if reader.exists() else None
        return story is not None and any(note.explanation for note in story.events.verdicts)

    await lab.eventually(read, 60)
    (verdict,) = json.loads((await commands.run("show", "r1", "--json")).stdout)["verdicts"]
    words = {TOXIC[word["start"] : word["end"]]: word["weight"] for word in verdict["explanation"]["words"]}
    assert max(words, key=words.get) in {"worthless", "idiot", "hate"}
    assert verdict["explanation"]["attributed"] == len(TOXIC.split())
    plain = (await commands.run("show", "r1")).stdout
    start = TOXIC.index("idiot")
    assert f"{start}-{start + 5}" in plain
    assert "idiot" not in plain
    assert f"idiot {start}-{start + 5}" in (await commands.run("show", "r1", "--text")).stdout
