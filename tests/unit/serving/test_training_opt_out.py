"""The opt-out of training: `metadata.training` of a request is written to its record."""

import pytest

from serving.backend import ModelInfo, ModelRequest
from serving.inference_records import ExpectedVerdicts, InferenceRequest, request_record


@pytest.mark.parametrize(
    ("metadata", "training"),
    [
        ({"training": "false"}, False),
        ({"training": "False"}, False),
        ({"training": False}, False),
        ({"training": "true"}, True),
        ({"conversation_id": "c"}, True),
        (None, True),
        ("training=false", True),
    ],
)
def test_the_record_of_a_request_has_its_opt_out(metadata, training):
    request = ModelRequest(request_id="r", operation="chat", body={"messages": [], "metadata": metadata})
    info = ModelInfo(engine="echo", version="v", context_length=0)
    inference = InferenceRequest(tenant="t", principal="p", model="m", info=info, request=request)
    assert request_record(inference, ExpectedVerdicts()).training is training
