"""The guard: it stops an answer soon after a finding, at a bounded cost, and its own failures do not end an answer."""

import asyncio
import gc
import subprocess
import sys
from concurrent.futures import Future

import pytest
from prometheus_client import CollectorRegistry
from pydantic import ValidationError
from support.guarded import EVERY, INSULT, words

from serving.gateway.guard import Guard, Guards, _Finding
from serving.gateway.tenant_settings import guard_settings
from serving.openai_api.accumulator import NewText
from stream.settings import tenant_settings
from stream.wire import OWN_TENANT, GuardStop
from weir.settings import Settings


@pytest.fixture(scope="module")
def loaded():
    """Guards with loaded detectors, which the tests share."""
    return asyncio.run(_load(CollectorRegistry(), mode="stop"))


def guard_of(guards):
    """Return a guard of one part of a choice."""
    return Guard(guards._settings("acme"), guards)


async def _load(registry, **table):
    guards = Guards({"*": {"guard": table}}, registry)
    await guards.load()
    return guards


@pytest.fixture
def make(loaded):
    """Return a function that makes guards with other rules and the same loaded detectors."""
    made = []

    def make_guards(tables=None, **table) -> Guards:
        given = tables or {"*": {"mode": "stop"} | table}
        guards = Guards({name: {"guard": one} for name, one in given.items()}, CollectorRegistry())
        guards._detectors = loaded._detectors
        made.append(guards)
        return guards

    yield make_guards
    for guards in made:
        guards.close()


@pytest.fixture
def guard(make):
    return guard_of(make())


@pytest.fixture
def recorded(make, monkeypatch):
    """Guards, and the text and its offset of each check that they make."""
    guards, checks = make(), []
    submit = guards.submit

    def record(settings, text, offset):
        checks.append((text.text, offset))
        return submit(settings, text, offset)

    monkeypatch.setattr(guards, "submit", record)
    return guards, checks


def scripted(position, length=200, insult=INSULT):
    return [f"{word} " for word in words(length, position, insult)]


async def stream(guard, pieces, pause):
    """Push and send pieces as the gateway does, until the guard stops the answer; return the number of sent tokens."""
    sent = 0
    for number, piece in enumerate(pieces, 1):
        stop = await guard.push(piece, number)
        if stop is not None and stop.stopped:
            return sent
        sent += 1
        guard.sent()
        if pause is not None:
            await asyncio.sleep(pause)
    await guard.finish()
    return sent


@pytest.mark.parametrize("pause", [None, 0, 0.002], ids=["a burst", "yielding", "paced"])
@pytest.mark.parametrize("position", range(49, 66))
async def test_at_most_26_tokens_follow_an_insult(guard, position, pause):
    sent = await stream(guard, scripted(position), pause)
    end = position + len(INSULT)
    assert guard.hit is not None
    assert sent <= end + EVERY + 10
    assert guard.hit == GuardStop(
        detector="toxicity",
        position_tokens=guard.hit.position_tokens,
        exposed_tokens=guard.hit.exposed_tokens,
        stopped=True,
    )
    assert position < guard.hit.position_tokens <= end + 3
    # A finding is at least three words; the client received them and all text after them.
    assert sent - guard.hit.position_tokens + 3 <= guard.hit.exposed_tokens <= sent - position + 6
    assert len("".join(scripted(position)[: position - 6])) <= guard.harmless_characters
    assert guard.harmless_characters < len("".join(scripted(position)[:end]))


@pytest.mark.parametrize("offset", [0, 5])
async def test_a_finding_has_the_tokens_from_its_start_to_its_end_and_those_that_were_sent(make, monkeypatch, offset):
    guards, found = make(every_tokens=4), []
    monkeypatch.setattr(guards, "_first_finding", lambda *_: found.pop())
    guard = Guard(guards._settings("acme"), guards, tokens=offset)
    for number in range(1, 9):  # of five characters each
        found[:] = [_Finding("pii", 22, 32) if number == 8 else None]
        assert await guard.push("word ", offset + number) is None
        if number < 8:
            guard.sent()
    hit = await guard.finish()
    assert hit == GuardStop(detector="pii", position_tokens=offset + 7, exposed_tokens=7 - 4, stopped=True)
    assert guard.harmless_characters == 22
    assert await guard.push("more ", offset + 9) is hit


@pytest.mark.parametrize("every_tokens", [1, 5, 64])
async def test_the_setting_every_tokens_bounds_the_tokens_between_checks(make, every_tokens):
    guard = guard_of(make(every_tokens=every_tokens))
    sent = await stream(guard, scripted(50), 0.001)
    assert sent <= 50 + len(INSULT) + every_tokens + 10


@pytest.mark.parametrize("size", [7, 30, 100])
@pytest.mark.parametrize("position", range(49, 66, 4))
async def test_chunks_of_several_tokens_are_sent_only_after_their_check(make, size, position):
    guard, pieces, sent = guard_of(make()), scripted(position), 0
    for start in range(0, len(pieces), size):
        chunk = pieces[start : start + size]
        if await guard.push("".join(chunk), start + len(chunk)) is not None:
            break
        guard.sent()
        sent += len(chunk)
    assert sent <= position + len(INSULT) + EVERY + 8


@pytest.mark.parametrize("ends", [1, 3, 15])
@pytest.mark.parametrize("size", [1, 4])
async def test_the_choice_that_goes_on_has_the_tokens_of_its_chunks(make, size, ends):
    """Choices differ in length, and a replica sends several tokens of one choice in a chunk, with the total of all choices."""
    guard, sent = make(detectors=["pii"]).answer("acme"), 0
    said = [*["word"] * 40, "jane.roe@example.com", *["word"] * 100]
    for index in range(ends):
        await guard.push([NewText(index, "Yes.")], 2 * index + 1)
        await guard.push([], 2 * index + 2)  # the end has a token without text
    for start in range(0, len(said), size):
        chunk = said[start : start + size]
        if await guard.push([NewText(ends, " ".join(chunk) + " ")], 2 * ends + start + len(chunk)):
            break
        guard.sent()
        sent += len(chunk)
        await asyncio.sleep(0)
    assert 41 <= guard.hit.position_tokens <= 41 + size
    assert sent - 40 <= guard.hit.exposed_tokens <= 1 + EVERY + 8


async def test_tokens_without_text_belong_to_an_only_choice(make):
    """A token can be a part of a character, and the next one completes its text."""
    guard = make(detectors=["pii"]).answer("acme")
    for number in range(1, 41):
        await guard.push([], 2 * number - 1)
        await guard.push([NewText(0, "é ")], 2 * number)
    await guard.push([NewText(0, "jane.roe@example.com ")], 86)
    await guard.finish()
    assert 80 < guard.hit.position_tokens <= 86


async def test_a_finding_in_the_text_exposes_no_tokens_of_the_reasoning(make):
    guard = make().answer("acme")
    for number, word in enumerate(scripted(60, length=70), 1):
        await guard.push([NewText(0, word, "reasoning" if number <= 60 else "text")], number)
        guard.sent()
    await guard.finish()
    assert guard.hit.exposed_tokens <= len(INSULT)


@pytest.mark.parametrize("lead", range(EVERY))
@pytest.mark.parametrize("data", ["jane.roe@example.com", "4111 1111 1111 1111", "(call) 415-555-2671"])
async def test_personal_data_sent_character_by_character_is_found_at_every_boundary(make, data, lead):
    guard = guard_of(make(detectors=["pii"]))
    pieces = [*["word "] * lead, *f"{data} ", *["word "] * 60]
    sent = await stream(guard, pieces, 0)
    assert guard.hit is not None
    assert guard.hit.detector == "pii"
    assert sent <= lead + len(data) + 1 + EVERY + 10


async def test_the_last_text_is_checked_before_the_end(guard):
    pieces = scripted(33, length=33 + len(INSULT))
    pieces[-1] = pieces[-1].rstrip()
    assert await stream(guard, pieces, 0) == len(pieces)
    assert guard.hit is not None
    assert 33 < guard.hit.position_tokens <= len(pieces)


@pytest.mark.parametrize("first", ["toxicity", "pii"])
async def test_of_two_findings_in_one_check_the_first_ends_the_answer(guard, first):
    texts = {
        "toxicity": "I hate you, you worthless piece of shit. ",
        "pii": "Write to jane.roe@example.com for the rest. ",
    }
    begin = texts.pop(first)
    await guard.push(begin + "The garden has many plants along the old river. " + "".join(texts.values()), 30)
    await guard.finish()
    assert guard.hit.detector == first
    assert guard.harmless_characters < len(begin)


async def test_a_finding_needs_the_score_in_the_tenants_settings(make):
    guard = guard_of(make(detectors=["toxicity"], threshold={"toxicity": 1.0}))
    await stream(guard, scripted(50), None)
    assert guard.hit is None


async def test_observe_sends_the_whole_answer_and_records_what_stop_would_have_done(make):
    guard = guard_of(make(mode="observe"))
    assert await stream(guard, scripted(50), 0.001) == 200
    assert guard.hit is not None
    assert not guard.hit.stopped
    assert guard.hit.exposed_tokens <= len(INSULT) + EVERY + 10 + 6


async def test_an_answer_that_is_sent_at_its_end_exposes_nothing(guard):
    for number, piece in enumerate(scripted(50), 1):
        await guard.push(piece, number)
    await guard.finish()
    assert guard.hit is not None
    assert guard.hit.exposed_tokens == 0
    assert "".join(scripted(50))[: guard.harmless_characters].startswith("".join(scripted(50)[:44]))


async def test_a_harmless_answer_ends_without_a_finding(guard):
    assert await stream(guard, scripted(50, insult=[]), 0) == 200
    assert guard.hit is None
    assert guard.harmless_characters == 0


@pytest.mark.parametrize(
    ("lead", "text"),
    [([], "You retardant foams are rare. "), (["word "] * 9, "It does not mean that you are a loser. ")],
    ids=["half a word", "a clause that began before the overlap"],
)
async def test_harmless_text_that_is_cut_at_any_character_is_no_finding(make, lead, text):
    guards, tail, hits = make(every_tokens=1), scripted(0, length=60, insult=[]), {}
    for cut in range(len(text)):
        guard = guard_of(guards)
        for number, piece in enumerate([*lead, text[:cut], text[cut:], *tail], 1):
            await guard.push(piece, 10 * number)  # so many tokens that `push` waits for the check of each piece
        await guard.finish()
        if guard.hit is not None:
            hits[text[:cut]] = guard.hit
    assert hits == {}


async def test_the_cost_of_a_check_does_not_grow_with_the_answer(recorded):
    guards, checks = recorded
    guard = guard_of(guards)
    await stream(guard, scripted(0, length=3000, insult=[]), None)
    assert len(checks) == pytest.approx(3000 / EVERY, rel=0.3)
    assert max(len(text) for text, _ in checks) < 600
    assert len(guard._ends) < 200
    assert all(text == "".join(scripted(0, 3000, []))[offset:][: len(text)] for text, offset in checks)


@pytest.mark.parametrize(
    "text", ["x" * 100_000, "十" * 20_000, " " * 20_000, "word " * 20_000, "a@" * 20_000, "\ud800 " * 5000]
)
async def test_large_chunks_and_text_without_spaces_are_read_to_the_end(recorded, text):
    guards, checks = recorded
    guard = guard_of(guards)
    await guard.push(text, 5000)
    await guard.push(" I hate you, you worthless piece of shit.", 5010)
    await guard.finish()
    assert guard.hit is not None
    assert guard.hit.detector == "toxicity"
    assert max(len(text) for text, _ in checks) <= 4096 + 256


async def test_a_chunk_longer_than_one_check_is_sent_after_all_its_checks(guard):
    assert await guard.push("word " * 2000 + " ".join(INSULT) + " word" * 100, 2100) is not None


async def test_a_failed_check_does_not_end_the_answer_and_logs_no_text(make, caplog):
    guards = make()
    guards._detectors = {}
    guard = guard_of(guards)
    assert await stream(guard, scripted(50), 0.001) == 200
    assert guard.hit is None
    assert guards.failures._value.get() == 1
    (message,) = caplog.messages
    assert message.startswith("a check of the guard (the rest of the answer is not checked) failed: KeyError\n")
    assert "in _first_finding" in message, "where it failed"


async def test_a_check_that_fails_after_its_answer_was_cancelled_logs_no_text(make, monkeypatch, caplog):
    checks = [Future()]
    checks[0].set_running_or_notify_cancel()
    guards = make()
    monkeypatch.setattr(guards, "submit", lambda *_: checks.pop())
    guard = guard_of(guards)
    await guard.push("My mail is ann.lee@example.org. ", 1)
    ending = asyncio.create_task(guard.finish())
    await asyncio.sleep(0)
    ending.cancel()
    await asyncio.wait({ending})
    guard._check.set_exception(ValueError("cannot read ann.lee@example.org"))
    for _ in range(2):  # the result reaches asyncio's future, then its callbacks
        await asyncio.sleep(0)
    del ending, guard
    gc.collect()
    assert caplog.messages == []


def test_the_guard_of_a_tenant_is_off_by_default_and_off_for_sentinels(make):
    assert Guards({}, CollectorRegistry()).answer("acme") is None
    guards = make({"a*": {"mode": "stop"}, "*": {"threshold": {"pii": 0.9}}})
    assert guards.answer("beta") is None
    assert guards.answer("acme") is not None
    assert make({"*": {"mode": "stop"}}).answer(OWN_TENANT) is None


def test_later_tables_override_earlier_ones():
    tenants = {
        "*": {"guard": {"mode": "observe", "detectors": ["pii"], "threshold": {"pii": 0.8}}},
        "acme": {"bucket_seconds": 5, "guard": {"mode": "stop", "threshold": {"toxicity": 0.9}}},
        "b": {"bucket_seconds": 5},
    }
    tables = Settings(tenants=tenants).tenants
    assert guard_settings(tables)("other").model_dump() == {
        "mode": "observe",
        "detectors": ("pii",),
        "threshold": {"pii": 0.8},
        "every_tokens": 16,
    }
    acme = guard_settings(tables)("acme")
    assert (acme.mode, acme.detectors, acme.threshold) == ("stop", ("pii",), {"pii": 0.8, "toxicity": 0.9})
    assert tenant_settings(tables, "acme").bucket_seconds == 5


@pytest.mark.parametrize(
    "table",
    [
        {"mode": "maybe"},
        {"detectors": ["injection"]},
        {"detectors": []},
        {"threshold": {"pii": 0}},
        {"every_tokens": 0},
        {"k": 1},
    ],
    ids=str,
)
def test_a_wrong_setting_is_an_error(table):
    with pytest.raises(ValidationError, match="guard"):
        Settings(tenants={"acme": {"guard": table}})


def test_only_a_gateway_with_a_guard_loads_detectors():
    code = (
        "import asyncio, sys; from prometheus_client import CollectorRegistry as R\n"
        "from serving.gateway.guard import Guards\n"
        "asyncio.run(Guards({'*': {'guard': {'mode': sys.argv[1]}}}, R()).load())\n"
        "print(*sorted({'torch', 'transformers', 'presidio_analyzer'} & {m for m in sys.modules}))"
    )
    for mode, expected in (("off", []), ("observe", ["presidio_analyzer"])):
        done = subprocess.run([sys.executable, "-c", code, mode], capture_output=True, text=True, check=True)
        assert done.stdout.split() == expected
