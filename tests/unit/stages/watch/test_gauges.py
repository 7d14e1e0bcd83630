from prometheus_client import CollectorRegistry

from stream.stages.shared.metrics import StreamGauges, WatchMetrics


def shown(registry):
    return {
        one.labels["tenant"]: one.value
        for metric in registry.collect()
        for one in metric.samples
        if one.name == "weir_stream_statistic"
    }


def test_a_gauge_has_the_newest_bucket_of_a_stream_and_the_oldest_stream_is_dropped():
    registry = CollectorRegistry()
    gauges = StreamGauges(registry, streams=2)
    for tenant, statistic in (("a", 1.0), ("b", 2.0), ("a", 3.0), ("c", 4.0)):
        gauges.show((tenant, "m", "input", "drift"), statistic, 10.0)
    assert shown(registry) == {"a": 3.0, "c": 4.0}


def test_counters_start_at_zero_so_that_prometheus_sees_the_first_increase():
    registry = CollectorRegistry()
    metrics = WatchMetrics(registry)
    firing = {"detector": "pii", "state": "firing", "severity": "warning"}
    alarm = {"detector": "drift", "alarm": "true"}
    before = [registry.get_sample_value("weir_alert_records_total", firing)]
    before.append(registry.get_sample_value("weir_bucket_findings_total", alarm))
    before.append(registry.get_sample_value("weir_findings_read_total", {"detector": "pii"}))
    assert before == [0, 0, 0]
    metrics.alerts.labels(**firing).inc()
    assert registry.get_sample_value("weir_alert_records_total", firing) == 1
