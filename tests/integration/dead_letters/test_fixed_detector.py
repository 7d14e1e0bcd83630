"""A dead letter from failure to replay: a detector fails and is fixed, the letter is replayed, and coverage is complete."""

import json
import time

import msgspec
import pytest
from support import doubles
from support.commands import Commands
from support.doubles import DOUBLES
from support.kafka_log import until
from support.running_ledger import running_ledger
from support.score_stack import ScoreLab, request
from support.stage_lab import P

from stream.wire import FindingRecord, Signal, Verdict, inference_key, partition_for

pytestmark = pytest.mark.kafka
FIXED = msgspec.structs.replace(DOUBLES, create=doubles.create_mended)
POISON = "RAISE, call 5551234"
GARBAGE = b"\xff\x00garbage"
PARTITION = partition_for(inference_key("acme", "r1"), P)


@pytest.fixture
async def lab(apache_broker, tmp_path):
    return await ScoreLab(apache_broker.bootstrap, tmp_path).create()


class Case:
    """Run `weir dlq` on the records of the lab, and return the results to compare."""

    def __init__(self, lab, reader):
        self.lab = lab
        self.reader = reader
        self._commands = Commands(lab.directory, lab.kafka)

    async def dlq(self, *arguments):
        return await self._commands.run("dlq", *arguments)

    async def letters(self, *arguments):
        return json.loads((await self.dlq("list", "--json", *arguments)).stdout)

    async def replay(self, *arguments):
        """Replay letters, and count their records so that `settled` of the lab waits until score has processed them."""
        done = await self.dlq("replay", "--json", *arguments)
        outcomes = json.loads(done.stdout)
        for outcome in outcomes:
            if outcome["result"] == "replayed":
                self.lab.appended[PARTITION] += 1
        return done.returncode, [(outcome["offset"], outcome["result"]) for outcome in outcomes]

    async def totals(self, **wanted):
        def there():
            coverage = self.reader.coverage() if self.reader.exists() else None
            found = coverage and {name: getattr(coverage.total, name) for name in wanted}
            return coverage if found == wanted else None

        return await until(f"coverage {wanted}", there)

    async def effects(self):
        """Return the ids of all events that score published. Score publishes at least once, so duplicates are removed."""
        topics = await self.lab.verdicts() + await self.lab.findings() + await self.lab.signals()
        return {event.id for _, event in topics if isinstance(event.data, Verdict | FindingRecord | Signal)}


async def test_a_replay_after_the_fix_completes_coverage_and_a_second_replay_changes_nothing(lab):
    async with running_ledger(lab.directory, lab.kafka) as reader:
        case = Case(lab, reader)
        await lab.append(request("r1", POISON), request("r2", "hello"))
        await lab.append(GARBAGE, partition=PARTITION)
        app = lab.score_app()
        async with lab.running(app):
            await lab.settled(app)
        broken = await case.totals(owed=6, settled=6, errors=3)
        assert broken.total.ratio == 1.0, "an error verdict completes the coverage, and is counted as an error"
        bug = await check_commands(case)
        app = lab.score_app(spec=FIXED)
        async with lab.running(app):
            assert await case.replay(str(bug["offset"])) == (0, [(bug["offset"], "replayed")])
            await lab.settled(app)
            await check_fixed(case)
            await check_again(case, app, bug["offset"])
            await check_garbage(case, app)


async def check_commands(case):
    """Check that `list` and `show` print the metadata of both letters, and content only with --text."""
    letters = await case.letters()
    assert {(letter["disposition"], letter["attempt"], letter["replayed_at"]) for letter in letters} == {
        ("bug", 1, None),
        ("decode", 1, None),
    }
    (bug,) = await case.letters("--disposition", "bug", "--stage", "score", "--since", "10m")
    assert (bug["topic"], bug["partition"], bug["request_id"]) == (case.lab.names.inference, PARTITION, "r1")
    assert (bug["exception"], bug["event_type"]) == ("ValueError", "weir.inference.request.v2")
    assert await case.letters("--stage", "watch") == []
    empty = await case.dlq("list", "--stage", "watch", "--disposition", "bug", "--since", "1h")
    assert empty.stdout.strip() == "no dead letters since 1h of stage watch with disposition bug"
    table = (await case.dlq("list")).stdout
    shown = (await case.dlq("show", str(bug["offset"]))).stdout
    assert "ValueError" in table
    assert "ValueError" in shown
    assert not any(content in table + shown + json.dumps(letters) for content in ("RAISE", "5551234"))
    asked = await case.dlq("show", str(bug["offset"]), "--text")
    assert "5551234" in asked.stdout
    access = json.loads((case.lab.directory / "logs" / "access.log").read_text())
    assert (access["dead_letter"], access["command"]) == (bug["offset"], "weir dlq show --text")
    (garbage,) = await case.letters("--disposition", "decode")
    assert "\\xff\\x00garbage" in (await case.dlq("show", str(garbage["offset"]), "--text")).stdout
    nothing = await case.dlq("show", "999")
    assert (nothing.returncode, nothing.stdout) == (1, "")
    assert "no dead letter at offset 999" in nothing.stderr
    return bug


async def check_fixed(case):
    fixed = await case.totals(owed=6, settled=6, errors=0)
    assert (fixed.total.ratio, fixed.requests) == (1.0, 2)
    story = case.reader.request("r1")
    assert {note.verdict.label for note in story.events.verdicts} == {"found"}
    found = {event.data.detector for _, event in await case.lab.findings() if isinstance(event.data, FindingRecord)}
    assert found == {"pii", "toxicity", "injection"}, "each fixed detector has a finding"


async def check_again(case, app, offset):
    """Check that a second replay needs --again, publishes the same ids, and does not change the ledger."""
    assert await case.replay(str(offset)) == (0, [(offset, "skipped")])
    before, effects = msgspec.to_builtins(case.reader.coverage()), await case.effects()
    count = len(await case.lab.verdicts())
    assert await case.replay("--again", str(offset)) == (0, [(offset, "replayed")])
    await case.lab.settled(app)
    assert len(await case.lab.verdicts()) > count
    asked = time.time()

    def caught_up():
        beat = case.reader.heartbeat()
        return (
            beat.caught_up and beat.wall_time > asked + 2
        )  # the ledger has checked the end of the log twice since then

    await until("the ledger has read all of it", caught_up)
    assert msgspec.to_builtins(case.reader.coverage()) == before
    assert await case.effects() == effects


async def check_garbage(case, app):
    """Check that a replayed record that cannot be decoded fails again with the next attempt number, and others are processed."""
    outlook = await case.dlq("replay", "--all", "--dry-run")
    assert (outlook.returncode, "1 would replay" in outlook.stderr) == (0, True)
    (first,) = await case.letters("--disposition", "decode")
    code, done = await case.replay("--all")
    assert (code, done) == (0, [(first["offset"], "replayed")]), "--all excludes letters that were replayed before"
    await case.lab.append(request("r3", "hello"))
    await case.lab.settled(app)
    old, new = await case.letters("--disposition", "decode")
    assert (old["attempt"], old["replayed_to"]) == (1, new["source_offset"])
    assert (new["attempt"], new["replayed_at"]) == (2, None)
    last = [record for record in await case.lab.dead() if record.offset == new["offset"]]
    assert [record.value for record in last] == [GARBAGE]
    await case.totals(owed=9, settled=9, errors=0)
