"""A replay of recorded signals and findings gives the same alerts with the same ids.

A log that is scored again, in other batches and another order, gives the same alerts by stream, detector and bucket, except alerts that
depend on a score at a threshold. The test lists these alerts.
"""

import tomllib
from pathlib import Path

import pytest
from support.rescoring import LAST_BITS, THRESHOLD, P, Scoring, inference_log, load_models, stream_detectors
from support.watch_chain import Chain, plain

from stream.wire import FindingRecord, stream_key

TENANTS = tomllib.loads((Path(__file__).parents[3] / "weir.toml").read_text())["tenants"]
WIDTH = TENANTS["demo-*"]["bucket_seconds"]
#: A difference of scores, which are in [0, 1]. The score of a bucket is 0.5 if its statistic equals the limit.
NEAR = 0.001


@pytest.fixture(scope="module")
def engine():
    return load_models()


class Rescored:
    """One scoring of a log, and the findings and alerts that watch and the alert stage compute from it."""

    def __init__(self, engine, lanes, seed):
        self.scoring = Scoring(engine, lanes, seed)
        self.chain = Chain(TENANTS, stream_detectors, P).run(self.scoring.log)
        self.findings = {event.id: event.data for event in self.chain.findings if isinstance(event.data, FindingRecord)}

    def alerts(self):
        """Return {(stream, detector, bucket): alert id}, with the bucket of the earliest finding that caused the alert.

        The first finding that was read does not define the bucket, because the order of simultaneous findings depends on the partitions.
        """
        behind = {}
        for event in self.chain.alerts:
            found = behind.setdefault(event.data.alert_id, (place_of(event.data), set()))[1]
            found |= {bucket_of(self.findings[identity]) for identity in event.data.causation_ids}
        keyed = {(*place, min(buckets)): identity for identity, (place, buckets) in behind.items()}
        assert len(keyed) == len(behind), "each stream, detector and bucket has at most one alert"
        return keyed

    def statistics(self, detector):
        return {identity: one.statistic for identity, one in self.findings.items() if one.detector == detector}


def place_of(record):
    return stream_key(record.tenant, record.model, record.side), record.detector


def bucket_of(finding):
    return finding.bucket if finding.bucket is not None else int(finding.time // WIDTH)


def flips(first, second):
    """Return {(stream, detector, bucket): (score, other score)} of the alarms that only one of the scorings has."""
    found = {}
    for one, other in ((first, second), (second, first)):
        for identity, finding in one.findings.items():
            counter = other.findings.get(identity)
            if finding.alarm and (counter is None or not counter.alarm):
                found[*place_of(finding), bucket_of(finding)] = (finding.score, _score_of(other, finding, counter))
    return found


def _score_of(scored, finding, counter):
    """Return the score in the scoring without the alarm: that of the bucket, or that of the event of the request."""
    if counter is not None:
        return counter.score
    (request_id,) = finding.evidence
    event_id = f"{request_id}/{'request' if finding.side == 'input' else 'end'}"
    return scored.scoring.scores[event_id, finding.detector]


@pytest.mark.parametrize("seed", range(4))
def test_another_scoring_gives_the_same_alerts_by_stream_detector_and_bucket(engine, seed):
    lanes = inference_log(seed)
    first, second = (Rescored(engine, lanes, 100 * seed + order) for order in range(2))
    differences = [abs(score - second.scoring.scores[key]) for key, score in first.scoring.scores.items()]
    assert 0 < max(differences) <= 2 * LAST_BITS, "the scores must differ, and only in the last bits"
    assert [event.id for event in first.scoring.log] != [event.id for event in second.scoring.log]
    assert {detector for _, detector, _ in first.alerts()} >= {"pii", "toxicity", "drift", "mean"}
    statistics = [scored.statistics("mean") for scored in (first, second)]
    assert statistics[0] != statistics[1], "the last bits must change the statistics of findings"
    assert flips(first, second) == {}
    assert set(first.alerts()) == set(second.alerts())
    assert set(first.findings) == set(second.findings), "the id of a finding does not depend on a score"
    over_many = {key: identity for key, identity in first.alerts().items() if key[1] in {"drift", "anomaly", "mean"}}
    assert over_many.items() <= second.alerts().items(), "one finding for each bucket, so equal ids"


def test_flips_at_a_threshold_explain_every_difference(engine):
    lanes, listed = inference_log(7, edge=True), {}
    first = Rescored(engine, lanes, 0)
    for order in range(1, 5):
        second = Rescored(engine, lanes, order)
        flipped = flips(first, second)
        for flip, scores in flipped.items():
            assert all(abs(score - THRESHOLD) <= NEAR for score in scores), (flip, scores)
        assert set(first.alerts()) ^ set(second.alerts()) == set(flipped)
        listed |= flipped
    print("flips within", NEAR, "of a threshold:", listed)
    assert listed, "the log has scores at the threshold, so some decisions must flip"
    assert {place for place, _, _ in listed} == {stream_key("demo-edge", "m", "input")}


@pytest.mark.parametrize("seed", range(2))
def test_recorded_signals_and_findings_give_the_same_alerts_and_ids(engine, seed):
    recorded = Rescored(engine, inference_log(seed, edge=True), seed)
    assert recorded.chain.alerts
    again = Chain(TENANTS, stream_detectors, P).run(recorded.scoring.log)
    assert plain(again.alerts) == plain(recorded.chain.alerts)
    assert plain(recorded.chain.replayed(stream_detectors).alerts) == plain(recorded.chain.alerts)
