"""The training job on a Ray cluster: equal shares of the batch, and a key of the fields that decide the weights."""

import msgspec
import pytest

from stream.loop.settings import TenantTrainSettings, TrainSettings
from stream.loop.training.errors import TrainingError
from stream.loop.training.job import RayCluster, TrainingJob

GIVEN = dict.fromkeys(("tenant", "model", "base", "base_digest", "dataset", "dataset_digest"), "x")
CLUSTER = RayCluster(address="10.0.0.5:6379", workers=2)


def test_a_local_job_has_no_cluster():
    assert TrainingJob.of_settings(TrainSettings(), TenantTrainSettings(), **GIVEN).ray is None


def test_a_job_has_the_cluster_of_the_settings():
    train = TrainSettings(cluster="ray", address="10.0.0.5:6379", workers=2, storage="s3://bucket/weir")
    job = TrainingJob.of_settings(train, TenantTrainSettings(batch_examples=8), **GIVEN)
    assert job.ray == msgspec.structs.replace(CLUSTER, storage="s3://bucket/weir")


def test_workers_without_equal_shares_are_rejected():
    train = TrainSettings(cluster="ray", address="10.0.0.5:6379", workers=3)
    with pytest.raises(TrainingError, match="batch_examples is 8, which 3 workers cannot share equally"):
        TrainingJob.of_settings(train, TenantTrainSettings(batch_examples=8), **GIVEN)


def test_kto_needs_two_examples_on_each_worker():
    train = TrainSettings(cluster="ray", address="10.0.0.5:6379", workers=4)
    with pytest.raises(TrainingError, match=r"batch_examples is 4 with method kto.*to at least 8"):
        TrainingJob.of_settings(train, TenantTrainSettings(batch_examples=4, method="kto"), **GIVEN)


def test_a_cluster_needs_an_address():
    with pytest.raises(ValueError, match="set address"):
        TrainSettings(cluster="ray")


@pytest.mark.parametrize(
    ("change", "same"),
    [({"workers": 4}, False), ({"use_gpu": True}, False), ({"address": "b:1", "storage": "/b"}, True)],
)
def test_the_key_has_only_the_fields_that_decide_the_weights(change, same):
    job = TrainingJob(**GIVEN, ray=CLUSTER)
    other = TrainingJob(**GIVEN, ray=msgspec.structs.replace(CLUSTER, **change))
    assert (job.weights_key() == other.weights_key()) is same
    assert job.weights_key() != TrainingJob(**GIVEN).weights_key()
