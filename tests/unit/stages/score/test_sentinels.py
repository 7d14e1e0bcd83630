"""Weir's own requests in score: each answer is embedded, independent of the sample, and has the name of its prompt."""

import msgspec
import pytest
from support.events import choices

from stream.stages.score.event_features import embedded, prompt_of, response_features
from stream.wire import OWN_TENANT, Message, RequestRecord, ResponseRecord

WHERE = {"request_id": "r1", "model": "m", "conversation_id": "sentinel/1/fact"}
ASKED = RequestRecord(tenant=OWN_TENANT, messages=(Message.of_text("user", "Hello"),), **WHERE)


def answered(tenant=OWN_TENANT, status="complete", text="Hi"):
    return ResponseRecord(tenant=tenant, status=status, messages=choices(text), **WHERE)


def test_an_answer_to_a_sentinel_is_embedded_at_any_sample_rate():
    assert embedded("r1/end", answered(), 1e-9)
    assert not embedded("r1/request", ASKED, 1.0)


@pytest.mark.parametrize("data", [answered(status="cancelled"), answered(text=""), answered("acme"), ASKED])
def test_only_complete_answers_to_sentinels_have_a_prompt(data):
    assert prompt_of(data) == ""
    assert prompt_of(answered()) == "sentinel/1/fact"


def test_answers_to_users_are_sampled():
    assert embedded("r1/end", answered("acme"), 1.0)
    assert not embedded("r1/end", answered("acme", text=""), 1.0)
    assert not embedded("r1/end", answered("acme"), 1e-9)


def test_only_answers_to_paired_prompts_have_a_sentiment():
    def measured(conversation, tenant=OWN_TENANT):
        answer = answered(tenant, text="She is an excellent nurse.")
        return response_features(msgspec.structs.replace(answer, conversation_id=conversation)).get("sentiment")

    pair = "bias/1/gender.male.female/letter/compared"
    assert measured(pair) > 0.3
    assert measured("sentinel/1/fact") is None
    assert measured(pair, "acme") is None
