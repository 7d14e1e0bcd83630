"""A version belongs to one tenant and model: the same weights of another are refused, not silently returned."""

import msgspec
import pytest

from stream.loop.smaller.version import _of_this_model
from stream.loop.training.errors import TrainingError
from stream.loop.training.job import TrainingJob
from stream.loop.training.manifest import VersionManifest

JOB = TrainingJob(
    tenant="acme", model="m", base="b", base_digest="d", dataset="", dataset_digest="", method="int8", parent="base"
)


@pytest.mark.parametrize(("field", "value"), [("tenant", "beta"), ("model", "n")])
def test_the_same_weights_of_another_owner_are_refused(field, value):
    known = VersionManifest(
        version="m_1", job=JOB, adapter_digest="", weights_digest="w", numbers={}, libraries={}, files={}
    )
    assert _of_this_model(known, JOB) is known
    with pytest.raises(TrainingError, match="version m_1 of acme / m"):
        _of_this_model(known, msgspec.structs.replace(JOB, **{field: value}))
