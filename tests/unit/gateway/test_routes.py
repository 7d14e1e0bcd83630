"""Selection of the version that answers: sticky conversations, versions that are not loaded, shadow copies, kills,
damaged files.
"""

import asyncio

import httpx
import msgspec
import pytest
from prometheus_client import CollectorRegistry, generate_latest
from support.gateway import KEY, InProcess, make_gateway, write_keys
from support.kafka_log import until
from support.spool import events_of

from serving.api_keys import keys_path
from serving.capture.recorder import Recorder
from serving.engine.echo_engine import EchoEngine
from serving.engine.errors import EngineUnavailableError
from serving.replica.model_server import ModelServer
from serving.replica.model_versions import ModelVersions
from serving.routes import RouteTable
from serving.settings import CaptureSettings
from stream.files import WatchedFile
from stream.loop.delivery.route_store import add_override, remove_overrides, write_routes
from stream.wire import RequestRecord, ResponseRecord, RouteRecord
from stream.wire.ids import shadow_request_id
from stream.wire.route_files import (
    BASE,
    RouteFile,
    RouteOverride,
    RouteOverrides,
    overrides_path,
    routes_path,
    version_for,
    version_weights,
)

M1 = "m_111111111111"
CHAT = {"model": "echo", "messages": [{"role": "user", "content": "hello there"}]}
HEADER = "x-weir-model-version"


class Shouting(EchoEngine):
    """A challenger that answers in capitals."""

    model_version = "digest"

    def encode(self, text):
        return super().encode(text.upper())


def route(weight=0, shadow=0.0, **more):
    weights = {BASE: 100 - weight} | ({M1: weight} if weight else {})
    values = {"tenant": "acme", "model": "echo", "epoch": 1, "at": 0.0, "champion": BASE, "challenger": M1}
    return RouteRecord(**(values | {"weights": weights, "shadow": shadow} | more))


class Stack:
    """A gateway and a replica with versions in one process; `write` writes routes that are read immediately."""

    def __init__(self, home, recorder, registry, **options):
        self.home, self.recorder, self.registry = home, recorder, registry
        self.routes = RouteTable(home)
        self.loads = []
        base = ModelServer(EchoEngine(), max_requests=8)
        self.versions = ModelVersions(base, self._load, lambda: self.routes.versions("echo"))
        gateway = make_gateway(home, InProcess(self.versions), recorder, registry, routes=self.routes, **options)
        self.client = httpx.AsyncClient(
            transport=httpx.ASGITransport(gateway),
            base_url="http://t",
            headers={"authorization": f"Bearer {KEY}"},
        )
        self.models = gateway._endpoints._models

    def _load(self, version):
        self.loads.append(version)
        if version != M1:
            raise EngineUnavailableError("no such file")
        return ModelServer(Shouting(), max_requests=8)

    def write(self, *routes, overrides=()):
        routes_path(self.home).write_bytes(msgspec.json.encode(RouteFile(routes=routes)))
        overrides_path(self.home).write_bytes(msgspec.json.encode(RouteOverrides(overrides=overrides)))
        self.refresh()

    async def load(self, *routes):
        """Write routes, and load the versions that they name."""
        self.write(*routes)
        await self.versions.update()

    def refresh(self):
        self.routes._next_check = 0.0
        self.models.find("echo")._versions_until = 0.0

    async def ask(self, conversation="", **more):
        headers = {"x-weir-conversation-id": conversation} if conversation else {}
        return await self.client.post("/v1/chat/completions", json=CHAT | more, headers=headers)

    def records(self):
        events = [e.data for path in (self.home / "spool").glob("gateway-*") for e in events_of(path)]
        return [data for data in events if isinstance(data, RequestRecord | ResponseRecord)]


@pytest.fixture
async def stack(tmp_path):
    write_keys(keys_path(tmp_path), ("k_1", "acme", KEY, None))
    registry = CollectorRegistry()
    with Recorder(root=tmp_path / "spool", settings=CaptureSettings(), registry=registry) as recorder:
        started = Stack(tmp_path, recorder, registry)
        async with started.client:
            yield started


async def test_conversations_are_split_by_weight_and_stay_with_their_version(stack):
    await stack.load(route(50))
    names = [f"c{number}" for number in range(40)]
    first = {name: (await stack.ask(name)).headers[HEADER] for name in names}
    again = {name: (await stack.ask(name)).headers[HEADER] for name in names}
    assert first == again
    assert first == {name: M1 if version_for(route(50), name) == M1 else "echo" for name in names}
    assert 10 < list(first.values()).count(M1) < 30


async def test_the_answer_its_header_and_its_records_name_the_version_that_answered(stack):
    await stack.load(route(100))
    answer = await stack.ask("c1")
    assert answer.json()["choices"][0]["message"]["content"] == "HELLO THERE"
    assert answer.json()["system_fingerprint"] == f"fp_{M1}"
    assert answer.headers[HEADER] == M1
    assert [record.model_version for record in stack.records()] == [M1, M1]
    async with stack.client.stream("POST", "/v1/chat/completions", json=CHAT | {"stream": True}) as streamed:
        assert streamed.headers[HEADER] == M1
        body = "".join([part async for part in streamed.aiter_text()])
    assert "weir.model_version" not in body
    assert "HELLO" in body


async def test_if_the_version_is_not_loaded_the_base_answers_and_is_named_in_the_header(stack):
    stack.write(route(100))
    counter = "weir_version_not_loaded_total", {"gen_ai_request_model": "echo"}
    assert stack.registry.get_sample_value(*counter) == 0, "Prometheus sees no increase of a counter that begins at 1"
    answer = await stack.ask()
    assert (answer.status_code, answer.headers[HEADER]) == (200, "echo")
    assert {record.model_version for record in stack.records()} == {"echo"}
    assert stack.registry.get_sample_value(*counter) == 1


async def test_a_replica_that_has_closed_the_version_answers_with_the_base_and_names_it_in_the_header(stack):
    await stack.load(route(100))
    await stack.ask()
    await stack.versions._servers.pop(M1).close()
    answer = await stack.ask()
    assert (answer.status_code, answer.headers[HEADER]) == (200, "echo")
    assert answer.json()["system_fingerprint"] == "fp_echo"
    assert stack.records()[-1].model_version == "echo"


async def test_a_consistency_copy_goes_to_the_version_that_answered(stack):
    again = {"*": {"consistency": {"share": 1.0}}}
    stack = Stack(stack.home, stack.recorder, CollectorRegistry(), tenants=again)
    await stack.load(route(100))
    loaded = dict(stack.versions._servers)
    await stack.models.find("echo").target(M1)
    stack.versions._servers.clear()
    answer = await stack.ask()
    stack.versions._servers |= loaded
    assert answer.headers[HEADER] == "echo"
    await until("the copy has ended", lambda: len(stack.records()) == 4)
    request, end = [record for record in stack.records() if record.shadow_of]
    assert (request.model_version, end.model_version) == ("echo", "echo")
    assert {choice.text for choice in end.messages} == {"hello there"}


async def test_a_version_that_cannot_be_loaded_is_not_loaded_again_immediately(stack):
    stack.write(route(champion="m_222222222222", challenger="", weights={"m_222222222222": 100}))
    for _ in range(3):
        await stack.versions.update()
    assert stack.loads == ["m_222222222222"]
    assert (await stack.ask()).headers[HEADER] == "echo"


async def test_a_version_is_closed_when_no_route_names_it_and_its_answers_have_ended(stack):
    await stack.load(route(100))
    server = stack.versions._servers[M1]
    server._answers = 1
    await stack.load()
    assert server.running
    server._answers = 0
    await stack.versions.update()
    assert not server.running
    assert (await stack.ask()).headers[HEADER] == "echo"


async def test_a_shadow_copy_is_recorded_and_no_user_receives_it(stack):
    await stack.load(route(shadow=1.0))
    answer = await stack.ask("c1", stream=False)
    assert answer.json()["choices"][0]["message"]["content"] == "hello there"
    copy = shadow_request_id(answer.headers["x-request-id"], M1)
    await until("the copy has ended", lambda: len(stack.records()) == 4)
    request, end = [record for record in stack.records() if record.request_id == copy]
    assert request.shadow_of == end.shadow_of == answer.headers["x-request-id"]
    assert (request.model_version, end.model_version, end.status) == (M1, M1, "complete")
    assert end.text == "HELLO THERE"
    assert (request.owed, end.owed) == ((), ("pii",))
    text = generate_latest(stack.registry).decode()
    assert 'weir_inference_ends_total{status="complete"} 1.0' in text, "the usage counts only the user's request"
    assert 'weir_shadow_requests_total{outcome="answered",purpose="challenger"} 1.0' in text


async def test_a_shadow_copy_is_not_made_by_another_version(stack):
    stack.write(route(shadow=1.0))
    await stack.ask()
    await until(
        "it is counted",
        lambda: 'outcome="not_loaded",purpose="challenger"} 1.0' in generate_latest(stack.registry).decode(),
    )
    assert len(stack.records()) == 2


async def test_a_kill_works_without_the_process_delivery(stack):
    await stack.load(route(100))
    assert (await stack.ask()).headers[HEADER] == M1
    kill = RouteOverride(tenant="acme", model="echo", version=BASE, at=1.0, by="jo")
    overrides_path(stack.home).write_bytes(msgspec.json.encode(RouteOverrides(overrides=(kill,))))
    async with asyncio.timeout(30):
        while (await stack.ask()).headers[HEADER] == M1:  # noqa: ASYNC110 - the answer itself is the condition
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("damage", [b"", b"{", b'{"routes": [{"tenant": 1}]}', b"\xff\xfe"])
async def test_a_damaged_file_keeps_the_last_routes(stack, damage):
    await stack.load(route(100))
    routes_path(stack.home).write_bytes(damage)
    stack.refresh()
    assert (await stack.ask()).headers[HEADER] == M1


def test_a_file_that_cannot_be_read_is_logged_once_until_it_can_be_read(tmp_path, monkeypatch, caplog):
    monkeypatch.setattr("serving.routes._CHECK_SECONDS", 0.0)
    table, path = RouteTable(tmp_path), routes_path(tmp_path)
    for _ in range(2):
        path.mkdir()  # root can read a file of any mode
        for _ in range(5):
            assert table.route("acme", "echo") is None
        path.rmdir()
        write_routes(tmp_path, [route(100)])
        assert table.route("acme", "echo").weights[M1] == 100
        path.unlink()
        assert table.route("acme", "echo") is None
    assert [record.getMessage().partition(" (")[0] for record in caplog.records] == [f"{path} cannot be read"] * 2


async def test_another_tenant_is_not_routed(stack):
    await stack.load(route(100, tenant="other"))
    assert (await stack.ask()).headers[HEADER] == "echo"


async def test_models_lists_the_versions_and_their_weights(stack):
    def shown():
        return stack.client.get("/v1/models/echo")

    assert (await shown()).json()["weir"] == {"version": "echo", "route": "champion", "weight": 100}
    stack.write(route(25))
    assert (await shown()).json()["weir"] == {
        "version": "echo",
        "route": "champion",
        "weight": 75,
        "others": [{"version": M1, "route": "canary", "weight": 25}],
    }
    listed = (await stack.client.get("/v1/models")).json()["data"]
    assert listed[0]["weir"]["others"][0]["weight"] == 25


@pytest.mark.parametrize("name", ["../../etc", "m_", "m_xyz", "m_11111111/..", "base", ""])
def test_an_invalid_version_name_is_not_used_as_a_path(tmp_path, name):
    with pytest.raises(ValueError, match="trained version"):
        version_weights(tmp_path, name)


async def test_an_adapter_of_vllm_with_the_name_of_the_version_answers(tmp_path):
    """The adapter's backend receives the adapter's name as the model, because vLLM selects adapters by this name."""
    write_keys(keys_path(tmp_path), ("k_1", "acme", KEY, None))
    routes_path(tmp_path).write_bytes(msgspec.json.encode(RouteFile(routes=(route(100),))))
    seen = []

    class Adapter(InProcess):
        def generate(self, request):
            seen.append((request.body["model"], request.version))
            return super().generate(request)

    servers = [ModelServer(engine, max_requests=8) for engine in (EchoEngine(), Shouting())]
    backends = {"echo": InProcess(servers[0]), M1: Adapter(servers[1])}
    gateway = make_gateway(tmp_path, backends, None, CollectorRegistry(), routes=RouteTable(tmp_path))
    headers = {"authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(gateway), base_url="http://t", headers=headers
    ) as client:
        answer = await client.post("/v1/chat/completions", json=CHAT)
        listed = (await client.get("/v1/models")).json()["data"]
        named = await client.post("/v1/chat/completions", json=CHAT | {"model": M1})
    assert answer.headers[HEADER] == M1
    assert answer.json()["choices"][0]["message"]["content"] == "HELLO THERE"
    assert seen == [(M1, "")]
    assert [model["id"] for model in listed] == ["echo"], "a version belongs to one tenant"
    assert named.status_code == 404


def test_a_kill_that_delivery_publishes_between_the_reads_of_the_two_files_stays_in_force(tmp_path, monkeypatch):
    kill = RouteOverride(tenant="acme", model="echo", version=BASE, at=1.0, by="jo")
    write_routes(tmp_path, [route(50)])
    add_override(tmp_path, kill)
    table = RouteTable(tmp_path)
    assert not table.route("acme", "echo").challenger
    files, value = [], WatchedFile.value

    def publish_between(file):
        files.append(file)
        if len(files) == 2:
            write_routes(tmp_path, [route(challenger="", epoch=2)])
            remove_overrides(tmp_path, [kill])
        return value(file)

    monkeypatch.setattr(WatchedFile, "value", publish_between)
    for _ in range(2):
        table._next_check = 0.0
        assert not table.route("acme", "echo").challenger
