"""Retries, the circuit breaker, the limit of connections, and clients that disconnect."""

import asyncio
import time

import pytest
from prometheus_client import generate_latest
from support.lab import eventually
from support.scripted_upstream import ERROR, WHOLE, Answer, chat_chunk, sse, stream_of

BEGUN = sse(chat_chunk("one "))


RETRIED = {
    "429 with Retry-After": Answer.json(ERROR, status=429, retry_after="0"),
    "502": Answer.json(ERROR, status=502),
    "503": Answer(status=503),
    "504": Answer(status=504),
    "a connection that closes": Answer("break", head=b""),
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("first", RETRIED.values(), ids=RETRIED)
async def test_a_request_is_sent_again_before_its_first_byte(relay, upstream, first, stream):
    stack = relay(first, Answer(*stream_of("a")) if stream else Answer.json(WHOLE), upstream_retries=1)
    assert (await stack.chat(stream=stream)).status_code == 200
    assert upstream.bodies[0] == upstream.bodies[1]
    assert stack.ended()[1].status == "complete"
    assert "weir_upstream_retries_total" in generate_latest(stack.registry).decode()


async def test_a_retry_waits_for_the_time_in_retry_after(relay, upstream):
    stack = relay(Answer.json(ERROR, status=429, retry_after="1"), Answer.json(WHOLE), upstream_retries=1)
    started = time.monotonic()
    assert (await stack.chat()).status_code == 200
    assert time.monotonic() - started >= 1


@pytest.mark.parametrize(
    "answer",
    [
        Answer.json(ERROR, status=400),
        Answer.json(ERROR, status=500),
        Answer.json(ERROR, status=429, retry_after="3600"),
        Answer.json(ERROR, status=503, retry_after="Fri, 01 Jan 2100 00:00:00 GMT"),
        Answer(b"{", "break"),
        Answer(*BEGUN, "break"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
async def test_other_failures_are_not_sent_again(relay, upstream, answer, stream):
    stack = relay(answer, upstream_retries=3)
    await stack.chat(stream=stream)
    assert len(upstream.requests) == 1


async def test_the_circuit_opens_is_reported_and_closes(relay, upstream, caplog):
    stack = relay(Answer.json(ERROR, status=503), *[Answer.json(ERROR, status=503)] * 4, Answer.json(WHOLE))
    stack.backend._circuit._open_seconds = 0.3

    def shown():
        return 'weir_upstream_circuit_open{gen_ai_request_model="echo"} 1.0' in generate_latest(stack.registry).decode()

    for _ in range(5):
        assert not shown()
        assert (await stack.chat()).json() == ERROR
    assert shown()
    rejected = await stack.chat()
    assert (rejected.status_code, rejected.json()["error"]["code"]) == (503, "upstream_circuit_open")
    assert int(rejected.headers["retry-after"]) >= 1
    assert len(upstream.requests) == 5
    assert (await stack.client.get("/v1/models/echo")).json()["circuit_open"] is True
    assert (await stack.client.get("/readyz")).status_code == 200
    await asyncio.sleep(0.3)
    assert (await stack.chat()).status_code == 200
    assert not shown()
    (card,) = (await stack.client.get("/v1/models")).json()["data"]
    assert (card["engine"], card["circuit_open"]) == ("upstream", False)
    kinds = [record.data.error.kind for record in stack.records() if record.id.endswith("/end") and record.data.error]
    assert kinds == ["upstream_error"] * 5 + ["upstream_circuit_open"]
    assert [record.getMessage() for record in caplog.records if "upstream server" in record.getMessage()] == [
        "model echo: the upstream server failed repeatedly (status 503); requests are rejected until it answers",
        "model echo: the upstream server answers again",
    ]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [(Answer.json(ERROR, status=503), "upstream_error"), (Answer("break", head=b""), "upstream_broken")],
    ids=["503", "broken"],
)
async def test_the_failure_that_opens_the_circuit_is_reported_and_not_sent_again(relay, upstream, answer, kind):
    stack = relay(answer, upstream_retries=2)
    for sent in (3, 5, 5):
        await stack.chat()
        assert len(upstream.requests) == sent
    kinds = [record.data.error.kind for record in stack.records() if record.id.endswith("/end")]
    assert kinds == [kind, kind, "upstream_circuit_open"]


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("end", ["break", "hang"])
async def test_responses_that_break_or_hang_after_their_start_open_the_circuit(relay, upstream, stream, end):
    stack = relay(Answer(*BEGUN, end), upstream_read_seconds=0.1)
    for _ in range(5):
        await stack.chat(stream=stream)
    rejected = await stack.chat(stream=stream)
    assert (rejected.status_code, rejected.json()["error"]["code"]) == (503, "upstream_circuit_open")
    assert len(upstream.requests) == 5


@pytest.mark.parametrize("answer", [Answer(*BEGUN, "hang"), Answer("hang", head=b"")], ids=["begun", "no answer"])
async def test_slow_requests_do_not_open_the_circuit_while_the_server_answers_others(relay, upstream, answer):
    stack = relay(Answer.json(WHOLE), *[answer] * 5, Answer.json(WHOLE), upstream_read_seconds=0.1)
    stack.backend._circuit._clock = lambda: 100.0  # all requests are in progress at the same time
    expected = [200, *[504] * 5, 200]
    assert [(await stack.chat()).status_code for _ in expected] == expected
    assert len(upstream.requests) == len(expected)


async def test_a_complete_response_resets_the_count_of_failures(relay, upstream):
    broken, whole = Answer(*BEGUN, "break"), Answer(*stream_of("one"))
    stack = relay(*[broken] * 4, whole, *[broken] * 4, whole)
    for _ in range(10):
        await stack.chat(stream=True)
    assert len(upstream.requests) == 10
    assert not stack.backend._circuit.is_open


async def test_after_a_probe_that_cannot_be_sent_another_probe_is_sent(relay, monkeypatch):
    stack = relay(*[Answer.json(ERROR, status=503)] * 5, Answer.json(WHOLE))
    stack.backend._circuit._open_seconds = 0.01
    for _ in range(5):
        await stack.chat()
    await asyncio.sleep(0.02)
    with monkeypatch.context() as patch:
        patch.setattr(stack.backend, "_body", lambda request: {"model": object()})  # a body that cannot be encoded
        assert (await stack.chat()).status_code == 500
    assert (await stack.chat()).status_code == 200


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("answer", [Answer(*BEGUN, "hang"), Answer("hang", head=b"")], ids=["begun", "no answer"])
async def test_if_a_client_disconnects_the_upstream_connection_is_closed(relay, upstream, answer, stream):
    stack = relay(answer)
    task = asyncio.create_task(stack.chat(stream=stream))
    await eventually(lambda: upstream.requests, 2)
    await asyncio.sleep(0.1)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await eventually(lambda: not upstream.open, 2)
    assert upstream.closed_early == 1
    _, end = stack.ended()
    assert (end.status, end.text) == ("cancelled", "one " if stream and answer.head is None else "")


async def test_connections_are_limited_and_reused(relay, upstream):
    stack = relay(Answer(0.02, *stream_of("a")), slots=2, queue=4)
    stack.backend.capacity = lambda: 6
    answers = await asyncio.gather(*(stack.chat(stream=True) for _ in range(8)))
    assert sorted(answer.status_code for answer in answers) == [200] * 6 + [503] * 2
    assert {a.json()["error"]["code"] for a in answers if a.status_code == 503} == {"queue_full"}
    assert upstream.connections <= 2


async def test_200_requests_at_once_all_end(relay):
    stack = relay(Answer(0.01, *stream_of("a")), slots=20, queue=300)
    answers = await asyncio.gather(*(stack.chat(stream=number % 2 == 0) for number in range(200)))
    assert sum(answer.status_code == 200 for answer in answers) == 100, (
        "the other 100 requests get an error, because they receive a stream that they did not request"
    )
    ends = [record.data for record in stack.records() if record.id.endswith("/end")]
    assert len(ends) == 200
    assert {(end.status, end.error and end.error.kind) for end in ends} == {
        ("complete", None),
        ("error", "upstream_broken"),
    }
