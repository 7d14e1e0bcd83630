import os
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from prometheus_client import CollectorRegistry

from stream.stages.score.metrics import CpuCollector, ScoreMetrics, cpu_seconds
from stream.wire import Verdict


def verdict(detector="toxicity", label="clear", score=0.25, *, flagged=False):
    return Verdict(
        request_id="r", event_id="e", tenant="t", model="m", side="input",
        detector=detector, version="1", flagged=flagged, label=label, score=score,
    )  # fmt: skip


def test_scores_are_counted_in_a_histogram_and_errors_are_not():
    registry = CollectorRegistry()
    metrics = ScoreMetrics(registry)
    for one in (
        verdict(),
        verdict(score=0.95, flagged=True, label="toxic"),
        verdict(label="error", score=0.0),
        verdict(label="unsupported_language", score=0.05),
    ):
        metrics.verdict(one)
    labels = {"detector": "toxicity", "side": "input"}
    assert registry.get_sample_value("weir_score_value_count", labels) == 3
    assert registry.get_sample_value("weir_score_value_bucket", labels | {"le": "0.3"}) == 2
    for label in ("clear", "flagged", "error", "unsupported_language"):
        assert registry.get_sample_value("weir_score_verdicts_total", {"detector": "toxicity", "label": label}) == 1


def test_an_unknown_detector_name_in_the_log_creates_no_label():
    registry = CollectorRegistry()
    ScoreMetrics(registry).verdict(verdict(detector="anything"))
    assert registry.get_sample_value("weir_score_value_count", {"detector": "other", "side": "input"}) == 1


def test_processor_time_includes_model_processes_and_never_decreases():
    used = {1: 10.0, 2: 5.0}
    registry = CollectorRegistry()
    CpuCollector(registry, lambda: list(used), used.__getitem__)

    def total():
        return registry.get_sample_value("weir_score_cpu_seconds_total")

    assert total() == 15.0
    del used[2]
    used[3] = 1.0
    assert total() == 16.0
    assert cpu_seconds(os.getpid()) > 0


def test_two_scrapes_at_the_same_time_count_an_ended_process_once():
    pids, both = [1, 2], threading.Barrier(2)

    def used(_pid):
        if len(pids) == 1:
            with suppress(threading.BrokenBarrierError):  # the second scrape waits for the first
                both.wait(0.2)
        return 5.0

    collector = CpuCollector(CollectorRegistry(), lambda: pids, used)

    def total(_scrape=0):
        (counter,) = collector.collect()
        return counter.samples[0].value

    assert total() == 10.0
    pids.remove(2)
    with ThreadPoolExecutor(2) as scrapers:
        assert [*scrapers.map(total, range(2))] == [10.0, 10.0]
