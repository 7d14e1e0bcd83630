"""The application on a real Ray, behind its real edge. The tests that kill processes run last, in this order."""

import asyncio
import contextlib
import itertools
import os
import signal
import threading
import time

import httpx
import openai
import psutil
import pytest
from support.gateway import KEY
from support.stack import until

from serving.metrics_targets import list_targets
from stream.loop.delivery.route_store import write_routes
from stream.wire import ABORTED_TYPE, RequestRecord, ResponseRecord, RouteRecord

pytestmark = pytest.mark.timeout(400)
CHAT = {"model": "echo", "messages": [{"role": "user", "content": "one two three"}]}
FLOOD = 600
KILLS = 5
TRACE = "0af7651916cd43dd8448eb211c80319c"


@pytest.fixture
def client(serving):
    with serving.client() as client:
        yield client


def official(serving, **options) -> openai.OpenAI:
    http = httpx.Client(trust_env=False)
    return openai.OpenAI(base_url=f"{serving.url}/v1", api_key=KEY, http_client=http, **options)


def test_the_official_client_whole_and_streaming(serving):
    with official(serving, max_retries=0) as client:
        whole = client.chat.completions.create(**CHAT)
        assert whole.choices[0].message.content == "one two three"
        chunks = list(client.chat.completions.create(**CHAT, stream=True, stream_options={"include_usage": True}))
        text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
        assert text == "one two three"
        assert chunks[-1].usage.completion_tokens == 3
        assert client.completions.create(model="echo", prompt="a b").choices[0].text == "a b"
        assert [model.id for model in client.models.list()] == ["echo", "relay"]
        with pytest.raises(openai.NotFoundError):
            client.chat.completions.create(**CHAT | {"model": "gpt-9"})
        with pytest.raises(openai.BadRequestError):
            client.chat.completions.create(**CHAT, temperature=9)
    with (
        official(serving, max_retries=0).with_options(api_key="wrong") as stranger,
        pytest.raises(openai.AuthenticationError),
    ):
        stranger.models.list()


def test_an_upstream_model_is_relayed_and_both_requests_are_recorded(serving):
    known = {event.correlationid for event in serving.records()}
    with official(serving, max_retries=0) as client:
        relayed = CHAT | {"model": "relay"}
        assert client.chat.completions.create(**relayed).choices[0].message.content == "one two three"
        chunks = list(client.chat.completions.create(**relayed, stream=True))
        assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks) == "one two three"
        assert {(chunk.model, chunk.usage) for chunk in chunks} == {("relay", None)}
        with pytest.raises(openai.BadRequestError, match="top_k"):  # the error of the upstream server
            client.chat.completions.create(**relayed, extra_body={"top_k": 3})
    new = [event.data for event in serving.records() if event.correlationid not in known]
    ends = [(data.model, data.status, data.text) for data in new if isinstance(data, ResponseRecord)]
    whole = [(model, "complete", "one two three") for model in ("echo", "echo", "relay", "relay")]
    assert sorted(ends) == sorted([*whole, ("relay", "error", "")])


def test_every_answer_has_exactly_one_request_id_from_the_edge(serving, client):
    def chunked():
        for _ in range(20):
            yield b"x" * 65_536

    websocket = {
        "connection": "upgrade",
        "upgrade": "websocket",
        "sec-websocket-version": "13",
        "sec-websocket-key": "A" * 22 + "==",
    }
    answers = [
        client.get("/healthz"),
        client.get("/v1/realtime", headers=websocket),
        client.get("/v1/models", headers={"authorization": "Bearer no"}),
        client.post("/v1/chat/completions", json=CHAT),
        client.post("/v1/chat/completions", json=CHAT | {"stream": True}),
        client.post("/v1/chat/completions", content=b"{"),
        client.post("/v1/chat/completions", json=CHAT, headers={"x-request-id": "mine", "x-weir-edge": "0" * 64}),
        # Last, because the server closes the connection of a body that it does not read to its end.
        client.post("/v1/chat/completions", content=b"x" * 10_000_000),
        client.post("/v1/chat/completions", content=chunked()),
    ]
    assert [answer.status_code for answer in answers] == [200, 404, 401, 200, 200, 400, 200, 413, 413]
    ids = [answer.headers.get_list("x-request-id") for answer in answers]
    assert all(len(one) == 1 and len(one[0]) == 36 for one in ids)
    assert len({one[0] for one in ids}) == len(ids)
    for refused in (answers[1], answers[2], answers[5], answers[7], answers[8]):
        assert set(refused.json()["error"]) == {"message", "type", "param", "code"}
    name = ids[3][0]
    assert {event.id for event in serving.records() if event.correlationid == name} == {
        f"{name}/request",
        f"{name}/end",
    }


def test_a_gateway_ignores_a_request_id_that_is_not_from_the_edge(serving):
    """A client that connects to the port of a gateway cannot choose the id of its events."""
    environment = serving.layout.environment()
    # Ray gives a gateway the first free port of this range.
    first, last = (int(environment[f"RAY_SERVE_DIRECT_INGRESS_{end}_HTTP_PORT"]) for end in ("MIN", "MAX"))
    gateway = psutil.Process(serving.pid_of("gateway"))
    listening = {one.laddr.port for one in gateway.net_connections("inet") if one.status == psutil.CONN_LISTEN}
    (port,) = (port for port in listening if first <= port <= last)
    headers = {"authorization": f"Bearer {KEY}", "x-request-id": "chosen"}
    answer = httpx.post(f"http://127.0.0.1:{port}/v1/chat/completions", json=CHAT, headers=headers, trust_env=False)
    assert answer.status_code == 200
    assert "chosen" not in {event.correlationid for event in serving.records()}


def test_nothing_listens_beyond_loopback(serving):
    listening = set()
    for process in serving.processes():
        with contextlib.suppress(psutil.NoSuchProcess):
            for one in process.net_connections("inet"):
                if one.status == psutil.CONN_LISTEN or (one.type.name == "SOCK_DGRAM" and not one.raddr):
                    listening.add(one.laddr)
    assert serving.ports["http"] in {address.port for address in listening}
    assert len(listening) > 10
    assert {address.ip.removeprefix("::ffff:") for address in listening} == {"127.0.0.1"}


def test_the_clients_trace_reaches_the_records(serving, client):
    headers = {"traceparent": f"00-{TRACE}-b7ad6b7169203331-01"}
    name = client.post("/v1/chat/completions", json=CHAT, headers=headers).headers["x-request-id"]
    events = [event for event in serving.records() if event.correlationid == name]
    assert len(events) == 2
    assert {event.traceparent.split("-")[1] for event in events} == {TRACE}


def test_each_replica_serves_its_own_metrics(serving, client):
    client.post("/v1/chat/completions", json=CHAT)
    found = {}
    for target in list_targets(serving.home / "run" / "metrics"):
        found[target.component] = httpx.get(f"http://{target.address}/metrics", trust_env=False).text
    assert "gen_ai_server_request_duration_seconds_bucket" in found["gateway"]
    assert "weir_capture_append_seconds" in found["gateway"]
    assert "weir_engine_running" in found["model"]


async def test_in_a_flood_a_request_is_answered_or_rejected_with_retry_after(serving):
    """A gateway accepts 264 requests (the 8 default slots of `auto` + `model.queue`). The model is suspended until 20 are rejected."""
    model = psutil.Process(serving.pid_of("model"))
    known = {event.correlationid for event in serving.records()}
    limits = httpx.Limits(max_connections=FLOOD)
    headers = {"authorization": f"Bearer {KEY}"}
    async with httpx.AsyncClient(
        base_url=serving.url, timeout=120, limits=limits, headers=headers, trust_env=False
    ) as client:
        model.suspend()
        try:
            asked = [asyncio.create_task(client.post("/v1/chat/completions", json=CHAT)) for _ in range(FLOOD)]
            refused = await asyncio.wait_for(_first(asked, 20), 12)
        finally:
            model.resume()
        answers = await asyncio.gather(*asked)
    assert {answer.status_code for answer in refused} == {503}
    assert {answer.headers["connection"] for answer in refused} == {"close"}
    for answer in answers:
        if answer.status_code != 200:
            assert (answer.status_code, answer.json()["error"]["code"]) == (503, "queue_full")
            assert int(answer.headers["retry-after"]) >= 1
    new = [event for event in serving.records() if event.correlationid not in known]
    begun = {event.correlationid for event in new if isinstance(event.data, RequestRecord)}
    ended = {event.correlationid for event in new if isinstance(event.data, ResponseRecord)}
    answered = {answer.headers["x-request-id"] for answer in answers if answer.status_code == 200}
    assert len(answered) >= 200
    assert answered <= begun == ended


async def _first(tasks, count):
    """Return the first `count` answers."""
    return [await task for task in itertools.islice(asyncio.as_completed(tasks), count)]


@pytest.mark.parametrize("name_of_model", ["echo", "relay"])
def test_a_request_is_cancelled_if_its_client_disconnects(serving, client, name_of_model):
    """The replica is suspended, so that the request is in progress when its client disconnects."""
    model = serving.pid_of("model")
    known = {event.correlationid for event in serving.records()}

    def begun():
        new = [e for e in serving.records() if isinstance(e.data, RequestRecord) and e.correlationid not in known]
        return new[0].correlationid if new else None

    os.kill(model, signal.SIGSTOP)
    try:
        with serving.client() as leaving:
            sending = threading.Thread(target=_post_and_ignore, args=(leaving, name_of_model), daemon=True)
            sending.start()
            name = until("the request record", begun, 20)
            sending.join(1.5)  # the timeout of the client ends the request
        end = until("the end record", lambda: serving.end_of(name), 20)
    finally:
        os.kill(model, signal.SIGCONT)
    assert (end.data.model, end.data.status) == (name_of_model, "cancelled")
    new = [e for e in serving.records() if e.correlationid not in known]
    assert {e.data.status for e in new if isinstance(e.data, ResponseRecord)} == {"cancelled"}
    assert len(new) == (2 if name_of_model == "echo" else 4)
    assert client.post("/v1/chat/completions", json=CHAT).status_code == 200


def _post_and_ignore(client: httpx.Client, model: str) -> None:
    with contextlib.suppress(httpx.HTTPError):
        client.post("/v1/chat/completions", json=CHAT | {"model": model}, timeout=1.0)


def test_a_killed_model_replica_is_replaced_and_each_request_has_an_end(serving, client):
    text = "word " * 3_000
    body = {"model": "echo", "max_tokens": 3_000, "messages": [{"role": "user", "content": text}]}
    answers, stop = [], threading.Event()

    def load(*, stream: bool, model: str) -> None:
        with serving.client() as one:
            while not stop.is_set():
                answers.append(one.post("/v1/chat/completions", json=body | {"stream": stream, "model": model}))

    workers = [
        threading.Thread(target=load, kwargs={"stream": index % 2 == 0, "model": ("echo", "relay")[index // 2 % 2]})
        for index in range(8)
    ]
    for worker in workers:
        worker.start()
    until("16 answers", lambda: len(answers) >= 16)
    # Repeat until a request is in the replica at the kill: a request is in the gateway for most of its time.
    for _ in range(KILLS):
        killed = serving.pid_of("model")
        os.kill(killed, signal.SIGKILL)
        until("an answer after the kill", lambda: client.post("/v1/chat/completions", json=CHAT).status_code == 200)
        until("another replica", lambda known=killed: serving.pid_of("model") != known)
        if any(event.type == ABORTED_TYPE for event in serving.records()):
            break
    stop.set()
    for worker in workers:
        worker.join()
    for answer in answers:
        lost = answer.status_code == 503 or b"model_replica_lost" in answer.content
        assert lost or answer.status_code == 200
    statuses = {event.correlationid: event for event in serving.records() if event.id.endswith("/end")}
    assert {answer.headers["x-request-id"] for answer in answers} <= set(statuses)
    assert {event.correlationid for event in serving.records()} == set(statuses)
    assert {event.data.status for event in statuses.values()} <= {"complete", "error", "cancelled", "aborted"}
    aborted = [event for event in statuses.values() if event.data.status == "aborted"]
    assert aborted
    assert {event.type for event in aborted} == {ABORTED_TYPE}


def test_a_killed_gateway_is_replaced_and_the_official_client_does_not_notice(serving):
    killed = serving.pid_of("gateway")
    with official(serving, max_retries=8, timeout=60) as client:
        client.models.list()
        os.kill(killed, signal.SIGKILL)
        began = time.monotonic()
        assert client.chat.completions.create(**CHAT).choices[0].message.content == "one two three"
        print(f"first answer after the kill: {time.monotonic() - began:.1f} s")
    assert len(list((serving.home / "spool").glob("gateway-*"))) == 2  # the spool of the killed gateway remains


def test_a_replica_writes_to_the_log_of_serve_at_once(serving):
    version, own = "m_0123456789ab", {"tenant": "acme", "model": "echo"}
    write_routes(serving.home, [RouteRecord(epoch=1, at=1.0, champion=version, weights={version: 100}, **own)])
    log = serving.home / "logs" / "serve.log"
    until(
        "the replica logs its new version", lambda: log.is_file() and f"version {version} is loaded" in log.read_text()
    )
    write_routes(serving.home, [])


def test_an_upstream_request_adds_no_line_to_the_log(serving, client):
    log = serving.home / "logs" / "serve.log"
    assert client.post("/v1/chat/completions", json=CHAT | {"model": "relay"}).status_code == 200
    assert "/v1/chat/completions" not in log.read_text()


def test_no_prompt_and_no_key_is_in_any_log(serving, client):
    canary = "canary-9c1d"
    body = CHAT | {"messages": [{"role": "user", "content": canary}]}
    for model in ("echo", "relay"):
        chat = body | {"model": model}
        assert client.post("/v1/chat/completions", json=chat).status_code == 200
        assert client.post("/v1/chat/completions", json=chat | {"temperature": 9}).status_code == 400
    logs = [path for path in serving.run_dir.rglob("*") if path.is_file() and "/logs/" in str(path)]
    logs += [serving.home / "driver.log", serving.home / "head.log", serving.home / "logs" / "serve.log"]
    assert len(logs) > 10
    # The key of the endpoint is also the key that the model `relay` sends to the other server.
    assert not [path for path in logs if any(text.encode() in path.read_bytes() for text in (canary, KEY))]


def test_the_driver_ends_with_ray_and_ray_leaves_no_process(serving):
    serving.processes()
    serving.head.kill()
    assert serving.driver.wait(30) != 0
    until("no process left", lambda: not [pid for pid in serving.pids if _is_rays(pid, serving)], 60)


def _is_rays(pid: int, serving) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and str(serving.run_dir) in " ".join(
            [*process.cmdline(), process.environ().get("RAY_TMPDIR", "")]
        )
    return False
