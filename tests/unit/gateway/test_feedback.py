"""Feedback, corrections and labels: their records and topics, bounds and scopes."""

import pytest
from support.gateway import KEY
from support.spool import events_of

from stream.wire import CorrectionRecord, Feedback, LabelRecord, inference_key

REVIEWER = ("k_1", "acme", KEY, None, ["feedback", "review"])


def judgments(stack):
    stack.recorder.close()
    events = events_of(stack.home / "spool" / stack.recorder.source)
    return [event for event in events if isinstance(event.data, Feedback | CorrectionRecord | LabelRecord)]


async def test_text_is_a_correction_and_the_rest_is_feedback(stack):
    body = {"request_id": "r-1", "rating": "down", "comment": "wrong", "correction": "Lima", "conversation_id": "c-9"}
    assert (await stack.client.post("/v1/feedback", json=body)).status_code == 202
    correction, feedback = judgments(stack)
    assert correction.data.answer == "Lima"
    assert (correction.data.comment, correction.data.approved, correction.data.principal) == ("wrong", False, "k_1")
    assert "Lima" not in repr(feedback)
    assert (feedback.data.rating, feedback.data.number) == ("down", 0)
    assert {event.partitionkey for event in (correction, feedback)} == {inference_key("acme", "c-9")}


async def test_the_id_in_the_body_of_an_answer_names_its_request(stack):
    stack.write_keys(("k_1", "acme", KEY, None, ["infer", "feedback", "review"]))
    chat = {"messages": [{"role": "user", "content": "hello"}]}
    answers = [
        await stack.client.post(path, json={"model": "echo", **body})
        for path, body in (("/v1/chat/completions", chat), ("/v1/completions", {"prompt": "hello"}))
    ]
    for answer in answers:
        given = {"request_id": answer.json()["id"]}
        said = await stack.client.post("/v1/feedback", json={**given, "rating": "up", "correction": "hi"})
        assert said.json()["request_id"] == answer.headers["x-request-id"]
        await stack.client.post("/v1/labels", json={"labels": [{**given, "correct": True}]})
    assert [event.data.request_id for event in judgments(stack)] == [
        answer.headers["x-request-id"] for answer in answers for _judgment in range(3)
    ]


async def test_a_correction_alone_is_no_feedback(stack):
    assert (await stack.client.post("/v1/feedback", json={"request_id": "r-1", "correction": "x"})).status_code == 202
    assert [type(event.data) for event in judgments(stack)] == [CorrectionRecord]


@pytest.mark.parametrize(("field", "limit"), [("comment", 4096), ("correction", 65_536)])
async def test_the_size_of_a_text_is_bounded_in_bytes(stack, field, limit):
    fits, too_long = "é" * (limit // 2), "é" * (limit // 2) + "x"
    assert (await stack.client.post("/v1/feedback", json={"request_id": "r", field: fits})).status_code == 202
    answer = await stack.client.post("/v1/feedback", json={"request_id": "r", field: too_long})
    assert answer.status_code == 413
    assert (
        answer.json()["error"]["message"]
        == f"{field} has {limit + 1} bytes, the limit is {limit}; send a shorter text."
    )


async def test_a_reviewer_approves_and_a_correction_is_no_approval(stack):
    stack.write_keys(REVIEWER)
    assert (await stack.client.post("/v1/feedback", json={"request_id": "r", "approved": True})).status_code == 202
    both = {"request_id": "r", "approved": True, "correction": "x"}
    assert (await stack.client.post("/v1/feedback", json=both)).status_code == 400
    assert [event.data.approved for event in judgments(stack)] == [True]


async def test_labels_of_a_reviewer_are_recorded_once_for_each_source(stack):
    stack.write_keys(REVIEWER)
    labels = [
        {"request_id": "r-1", "correct": True, "at": "2026-01-31T12:00:00Z", "source": "crm"},
        {"request_id": "r-2", "value": 0.25, "at": 7.0, "label_id": "mine", "conversation_id": "c"},
    ]
    for _ in range(2):
        answer = await stack.client.post("/v1/labels", json={"labels": labels})
        assert (answer.status_code, answer.json()) == (202, {"object": "labels", "accepted": 2})
    found = judgments(stack)
    assert len({event.id for event in found}) == 2
    first, second = (event.data for event in found[:2])
    assert (first.value, first.at, first.source, first.principal) == (1.0, 1769860800.0, "crm", "k_1")
    assert (second.label_id, second.value, found[1].partitionkey) == ("mine", 0.25, inference_key("acme", "c"))


@pytest.mark.parametrize(
    ("label", "words"),
    [
        ({"correct": True, "value": 1}, "labels.1: send either value, from 0 to 1, or correct, true or false."),
        ({}, "send either value"),
        ({"value": 1.5}, "labels.1.value: input should be less than or equal to 1; got 1.5"),
        ({"correct": True, "at": "yesterday"}, "labels.1: at is not a time; send seconds"),
        ({"correct": True, "at": "2097-01-01T00:00:00Z"}, "labels.1: at is 2097-01-01, after the year 2096"),
        ({"correct": True, "at": 1767225600000}, "labels.1.at: input should be less than or equal to 4000000000"),
    ],
)
async def test_a_wrong_label_is_named_and_none_is_recorded(stack, label, words):
    stack.write_keys(REVIEWER)
    labels = [{"request_id": "r-1", "correct": True}, {"request_id": "r-1"} | label]
    answer = await stack.client.post("/v1/labels", json={"labels": labels})
    assert answer.status_code == 400
    assert words in answer.json()["error"]["message"]
    assert judgments(stack) == []


async def test_labels_need_the_scope_review(stack):
    answer = await stack.client.post("/v1/labels", json={"labels": [{"request_id": "r-1", "correct": True}]})
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "insufficient_scope")


@pytest.mark.parametrize(
    ("rating", "given"), [(9, "9"), (0, "0"), (True, "true"), (2.5, "2.5"), ("canary", "a string of 6 characters")]
)
async def test_the_error_of_a_rating_names_all_values_that_are_allowed(stack, rating, given):
    answer = await stack.client.post("/v1/feedback", json={"request_id": "r-1", "rating": rating})
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["message"] == f"rating: send 'up', 'down' or a whole number from 1 to 5; got {given}."
    assert error["param"] == "rating"
