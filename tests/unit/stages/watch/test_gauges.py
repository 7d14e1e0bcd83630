from prometheus_client import CollectorRegistry

from stream.stages.shared.metrics import StreamGauges


def shown(registry):
    return {
        one.labels["tenant"]: one.value
        for metric in registry.collect()
        for one in metric.samples
        if one.name == "weir_stream_statistic"
    }


def test_a_stream_is_shown_as_of_its_newest_bucket_and_the_oldest_makes_room():
    registry = CollectorRegistry()
    gauges = StreamGauges(registry, streams=2)
    for tenant, statistic in (("a", 1.0), ("b", 2.0), ("a", 3.0), ("c", 4.0)):
        gauges.show((tenant, "m", "input", "drift"), statistic, 10.0)
    assert shown(registry) == {"a": 3.0, "c": 4.0}
