"""Copies of a share of the requests for `consistency`: the share, the fields and record of a copy, and requests without
a copy.
"""

import asyncio

import httpx
import msgspec
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from support.gateway import KEY, InProcess, make_gateway, write_keys
from support.inference_ends import ended
from support.kafka_log import until
from support.scripted_upstream import ERROR, WHOLE, Answer
from support.spool import events_of

from serving.api_keys import keys_path
from serving.backend import ModelInfo, ModelRequest
from serving.capture.recorder import Recorder
from serving.engine.echo_engine import EchoEngine
from serving.engine.protocol import EngineStats
from serving.gateway.guard import Guards
from serving.gateway.tenant_settings import consistency_settings, is_asked_again
from serving.inference_records import ExpectedVerdicts, InferenceRequest
from serving.replica.model_server import ModelServer
from serving.replica.model_versions import ModelVersions
from serving.settings import CaptureSettings
from stream.wire import Choice, RequestRecord, ResponseRecord, TextPart
from stream.wire.ids import consistency_request_id
from weir.errors import SettingsError
from weir.settings import load_settings

CHAT = {"model": "echo", "messages": [{"role": "user", "content": "hello there"}]}
EXPECTED = ExpectedVerdicts(input=("pii",), output=("pii", "consistency"), context_characters=8192)
ALL = {"*": {"consistency": {"share": 1.0, "samples": 3, "temperature": 0.7}}}
RELAYED = {"expected": EXPECTED, "tenants": ALL}


class Stack:
    """A gateway and a base model in one process; `sent` contains the bodies that the model received."""

    def __init__(self, home, recorder, registry, tables, guards=None):
        self.home, self.registry, self.sent = home, registry, []
        base = ModelServer(EchoEngine(), max_requests=8)
        self.backend = backend = InProcess(ModelVersions(base, None, tuple))
        generate = backend.generate

        def seen(request):
            self.sent.append(request.body)
            return generate(request)

        backend.generate = seen
        gateway = make_gateway(home, backend, recorder, registry, expected=EXPECTED, tenants=tables, guards=guards)
        self.client = httpx.AsyncClient(
            transport=httpx.ASGITransport(gateway), base_url="http://t", headers={"authorization": f"Bearer {KEY}"}
        )

    async def ask(self, path="chat/completions", **more):
        answer = await self.client.post(f"/v1/{path}", json={"model": "echo"} | more)
        assert answer.status_code == 200, answer.text
        return answer

    def records(self):
        events = [event.data for path in (self.home / "spool").glob("gateway-*") for event in events_of(path)]
        return [data for data in events if isinstance(data, RequestRecord | ResponseRecord)]

    async def copied(self, records=4):
        await until("the copy has ended", lambda: len(self.records()) == records)
        return self.records()

    def metric(self, outcome):
        return copies(outcome) in generate_latest(self.registry).decode()

    async def assert_only_the_next_request_is_copied(self):
        """Copies are sent in the order of their requests, so a copy of an earlier request would be the first that is counted."""
        answer = await self.ask(messages=CHAT["messages"])
        await until("the only copy is counted", lambda: self.metric("answered"))
        assert {record.shadow_of for record in self.records()} == {"", answer.headers["x-request-id"]}


@pytest.fixture
def started(tmp_path):
    """Return a function that starts a stack."""
    registry = CollectorRegistry()
    write_keys(keys_path(tmp_path), ("k_1", "acme", KEY, None), ("k_2", "_weir", "own-key", None))
    with Recorder(root=tmp_path / "spool", settings=CaptureSettings(), registry=registry) as recorder:
        yield lambda tables=ALL, **options: Stack(tmp_path, recorder, registry, tables, **options)


@pytest.fixture
def stack(started):
    return started()


async def test_a_copy_asks_for_several_answers_and_is_compared_with_the_users_answer(stack):
    answer = await stack.ask(messages=CHAT["messages"], temperature=0, seed=7, max_tokens=50)
    assert [choice["message"]["content"] for choice in answer.json()["choices"]] == ["hello there"]
    copy = consistency_request_id(answer.headers["x-request-id"])
    request, end = [record for record in await stack.copied() if record.request_id == copy]
    assert request.shadow_of == end.shadow_of == answer.headers["x-request-id"]
    assert (request.owed, end.owed) == ((), ("consistency",))
    assert [choice.text for choice in end.messages] == ["hello there"] * 3
    assert [(message.role, message.text) for message in end.context] == [
        ("user", "hello there"),
        ("assistant", "hello there"),
    ]
    fields = {name: stack.sent[-1].get(name) for name in ("n", "temperature", "seed", "max_tokens", "stream")}
    assert fields == {"n": 3, "temperature": 0.7, "seed": None, "max_tokens": 50, "stream": False}
    await until("it is counted", lambda: stack.metric("answered"))
    users = [record for record in stack.records() if not record.shadow_of]
    assert [record.owed for record in users] == [("pii",), ("pii",)], (
        "the user's answer expects no verdict of consistency"
    )


async def test_a_streamed_answer_and_a_plain_completion_are_asked_again_too(stack):
    await stack.ask(messages=CHAT["messages"], stream=True, stream_options={"include_usage": True})
    await stack.copied()
    assert "stream_options" not in stack.sent[-1]
    await stack.ask("completions", prompt="hello")
    ends = [record for record in await stack.copied(8) if isinstance(record, ResponseRecord) and record.shadow_of]
    assert [end.context[-1].text for end in ends] == ["hello there", "hello"]


def copies(outcome):
    return f'weir_shadow_requests_total{{outcome="{outcome}",purpose="consistency"}} 1.0'


def completed(*texts, reason="stop"):
    choices = [{"index": index, "text": text, "finish_reason": reason} for index, text in enumerate(texts)]
    return Answer.json(WHOLE | {"choices": choices})


async def test_a_completion_of_several_prompts_or_with_echo_is_not_asked_again(relay, upstream):
    stack = relay(completed("Paris", "Rome"), stack=RELAYED)
    await stack.post("completions", prompt=["France?", "Italy?"])
    await stack.post("completions", prompt=[[1, 2], [3]])
    await stack.post("completions", prompt="France?", echo=True)
    await stack.post("completions", prompt=[1, 2])
    await until("the only copy was sent", lambda: len(upstream.bodies) >= 5)
    assert [body["prompt"] for body in upstream.bodies[4:]] == [[1, 2]]


async def test_a_copy_has_no_best_of_which_could_be_less_than_its_choices(relay, upstream):
    stack = relay(completed("Paris"), completed("Paris", "Rome", "Paris"), stack=RELAYED)
    await stack.post("completions", prompt="France?", best_of=2)
    await until("the copy was sent", lambda: len(upstream.bodies) == 2)
    assert upstream.bodies[1] == {
        "model": "provider-model",
        "prompt": "France?",
        "n": 3,
        "temperature": 0.7,
        "stream": False,
    }


@pytest.mark.parametrize("store", [True, False, None])
async def test_a_copy_is_not_stored_and_has_no_log_probabilities(relay, upstream, store):
    stack = relay(Answer.json(WHOLE), stack=RELAYED)
    fields = {"logprobs": True, "top_logprobs": 5} | ({} if store is None else {"store": store})
    await stack.chat("France?", **fields)
    await until("the copy was sent", lambda: len(upstream.bodies) == 2)
    user, copy = upstream.bodies
    assert fields.items() <= user.items()
    assert copy.get("store") is (None if store is None else False)
    assert not {"logprobs", "top_logprobs"} & copy.keys()


@pytest.mark.parametrize("body", [{"error": {"message": "no n"}}, {"error": "no n"}, {"detail": "no n"}])
async def test_a_rejected_copy_does_not_stop_the_others(relay, body):
    answer, rejected = completed("Paris"), Answer.json(body, status=400)
    stack = relay(answer, answer, rejected, answer, stack=RELAYED)
    await asyncio.gather(*(stack.post("completions", prompt="France?") for _ in range(2)))
    counted = (copies("failed"), copies("answered"))
    await until("both are counted", lambda: all(one in generate_latest(stack.registry).decode() for one in counted))


async def test_the_log_of_a_copy_that_fails_has_no_text(started, caplog, monkeypatch):
    stack, generate = started(), EchoEngine.generate
    caplog.set_level("DEBUG", "serving")

    def fail(self, prompt, sampling):
        if sampling.temperature == 0.7:
            raise ValueError(CHAT["messages"][0]["content"])
        return generate(self, prompt, sampling)

    monkeypatch.setattr(EchoEngine, "generate", fail)
    await stack.ask(messages=CHAT["messages"])
    await until("it is counted", lambda: stack.metric("failed"))
    assert "ValueError" in caplog.text
    assert "hello there" not in caplog.text


async def test_failing_copies_are_not_sent_again_and_open_no_circuit_for_users(relay, upstream):
    stack = relay(*[Answer.json(ERROR, status=503)] * 6, Answer.json(WHOLE), upstream_retries=2)
    copy = ModelRequest(request_id="r", operation="chat", body=CHAT, shadow=True)
    items = [item for _ in range(6) async for item in stack.backend.generate(copy)]
    assert [item.status for item in items] == [503] * len(upstream.bodies) == [503] * 6
    assert (await stack.chat()).status_code == 200


async def test_another_server_decides_whether_a_further_answer_is_complete(relay):
    stack = relay(completed("Paris", reason=None), completed("Paris", "Rome", reason=None), stack=RELAYED)
    await stack.post("completions", prompt="France?")
    await until("the copy is counted", lambda: copies("answered") in generate_latest(stack.registry).decode())
    ends = [event.data for event in stack.records() if isinstance(event.data, ResponseRecord)]
    assert [(end.status, end.owed) for end in ends] == [("complete", ("pii",)), ("complete", ("consistency",))]


@pytest.mark.parametrize(("status", "owed"), [("complete", ("consistency",)), ("error", ()), ("cancelled", ())])
def test_only_complete_further_answers_are_compared(status, owed):
    sent = ModelRequest(request_id="r2", operation="chat", body=CHAT)
    info = ModelInfo(engine="echo", version="v", context_length=0)
    copy = InferenceRequest(
        tenant="t", principal="p", model="echo", info=info, request=sent, shadow_of="r1", compared="hello there"
    )
    choices = (Choice(parts=(TextPart(content="hel"),)),) * 3
    assert ended(copy, EXPECTED, choices, status).owed == owed


@pytest.mark.parametrize("tables", [{}, {"*": {"share": 0.0}}, {"other": {"share": 1.0}}, {"*": {"samples": 3}}])
async def test_without_a_share_nothing_is_asked_again(started, tables):
    stack = started({name: {"consistency": table} for name, table in tables.items()})
    await stack.ask(messages=CHAT["messages"])
    assert len(stack.sent) == 1
    assert len(stack.records()) == 2


async def test_a_tenants_own_table_overrides_the_pattern_before_it(started):
    stack = started(ALL | {"acme": {"consistency": {"samples": 2}}})
    await stack.ask(messages=CHAT["messages"])
    await stack.copied()
    assert (stack.sent[-1]["n"], stack.sent[-1]["temperature"]) == (2, 0.7)


async def test_weirs_own_prompts_are_not_asked_again(stack):
    stack.client.headers["authorization"] = "Bearer own-key"
    await stack.ask(messages=CHAT["messages"])
    stack.client.headers["authorization"] = f"Bearer {KEY}"
    await stack.assert_only_the_next_request_is_copied()


async def test_an_answer_that_the_guard_stopped_is_not_asked_again(started):
    guards = Guards({"*": {"guard": {"mode": "stop", "every_tokens": 1}}}, CollectorRegistry())
    await guards.load()
    stack = started(guards=guards)
    answer = await stack.ask(messages=[{"role": "user", "content": "write to jane.doe@example.com or not at all"}])
    assert answer.json()["choices"][0]["finish_reason"] == "content_filter"
    await stack.assert_only_the_next_request_is_copied()
    guards.close()


async def test_the_guard_does_not_check_a_copy(started):
    guards = Guards({"*": {"guard": {"mode": "observe", "detectors": ["toxicity"]}}}, CollectorRegistry())
    await guards.load()
    stack = started(guards=guards)
    await stack.ask(messages=[{"role": "user", "content": "I hate you, you worthless piece of shit."}])
    ends = [record for record in await stack.copied() if isinstance(record, ResponseRecord)]
    assert [(bool(end.shadow_of), end.guard is not None) for end in ends] == [(False, True), (True, False)]
    guards.close()


@pytest.mark.parametrize(
    ("load", "outcome"),
    [
        ((5, 0, 8), "answered"),
        ((6, 0, 8), "dropped"),
        ((4, 2, 8), "dropped"),
        ((0, 0, 2), "answered"),
        ((1, 0, 2), "dropped"),
    ],
)
async def test_a_copy_without_a_free_slot_for_each_answer_is_dropped(stack, monkeypatch, load, outcome):
    info = await stack.backend.describe()
    stats = EngineStats(**dict(zip(("running", "waiting", "slots"), load, strict=True)))

    async def describe():
        return msgspec.structs.replace(info, stats=stats)

    monkeypatch.setattr(stack.backend, "describe", describe)
    await stack.ask(messages=CHAT["messages"])
    await until("it is counted", lambda: stack.metric(outcome))
    assert len(stack.sent) == (2 if outcome == "answered" else 1)


async def test_a_lost_replica_does_not_stop_the_copies_after_it(stack):
    await stack.ask(messages=CHAT["messages"])
    await stack.copied()
    stack.backend.lost = True
    await stack.ask(messages=CHAT["messages"])
    await until("it is counted", lambda: stack.metric("failed"))
    stack.backend.lost = False
    await stack.ask(messages=CHAT["messages"])
    await stack.copied(10)


def test_the_configured_share_of_the_requests_is_copied():
    asked = sum(is_asked_again(f"r{number}", 0.1) for number in range(10_000))
    assert 900 < asked < 1_100
    assert not is_asked_again("r", 0.0)
    assert is_asked_again("r", 1.0)


def test_the_settings_of_thousands_of_tenants_are_computed_once_each():
    settings = consistency_settings({"*": {"consistency": {"share": 0.25}}})
    first = [settings(f"tenant-{number}") for number in range(2000)]
    assert all(settings(f"tenant-{number}") is one for number, one in enumerate(first))


def test_a_share_without_the_detector_is_an_error_that_names_the_fix(tmp_path, monkeypatch):
    (tmp_path / "weir.toml").write_text('[tenants."acme".consistency]\nshare = 0.05\n')
    monkeypatch.setenv("WEIR_CONFIG", str(tmp_path / "weir.toml"))
    with pytest.raises(SettingsError, match=r'share is 0\.05.*add "consistency" to detectors\.output'):
        load_settings()
    monkeypatch.setenv("WEIR_DETECTORS__OUTPUT", '["pii", "consistency"]')
    assert consistency_settings(load_settings().settings.tenants)("acme").share == 0.05


@pytest.mark.parametrize(("key", "value"), [("share", 1.5), ("samples", 1), ("samples", 17), ("temperature", 0)])
def test_a_value_out_of_its_bounds_is_an_error(tmp_path, monkeypatch, key, value):
    (tmp_path / "weir.toml").write_text(f'[tenants."acme".consistency]\n{key} = {value}\n')
    monkeypatch.setenv("WEIR_CONFIG", str(tmp_path / "weir.toml"))
    monkeypatch.setenv("WEIR_DETECTORS__OUTPUT", '["consistency"]')
    with pytest.raises(SettingsError, match=f"consistency.*{key}"):
        load_settings()
