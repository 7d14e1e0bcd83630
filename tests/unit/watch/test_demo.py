"""The demo's promise, at high speed: its settings, its number of requests and its pace, with synthetic embeddings."""

import random
import tomllib
from pathlib import Path

import numpy as np
import pytest
from support.signal_log import finding_of, score_tick, signal_event
from support.watch_chain import Chain, plain

from stream.watch.app import stream_detectors
from stream.wire import AlertRecord

TENANT = "demo-abc123"
START = 1_800_000_000.0
REQUIRED = {"bucket_seconds": 5, "drift": {"reference_events": 40, "alarm_every_events": 1000}}
GATES = {"retraining": {"windows": 2, "events": 40, "principals": 3}}


def embeddings(seed):
    """Return a maker of packed embeddings: ordinary prompts spread over a few topics, and one that is new."""
    rng = np.random.default_rng(seed)
    topics = rng.normal(size=(6, 96))
    topics /= np.linalg.norm(topics, axis=1, keepdims=True)

    def make(new):
        base = topics[5] if new else topics[rng.integers(0, 5)]
        vector = base + 0.06 * rng.normal(size=96)
        return (vector / np.linalg.norm(vector)).astype("<f2").tobytes()

    return make


def demo_log(seed, *, ordinary=64, odd=13, new=73, seconds=75.0, keys=4, flood=False):
    """Return what score publishes for the demo's traffic; ticks follow a second behind, and go on when it has ended."""
    random_, embed = random.Random(seed), embeddings(seed)
    total = ordinary + odd + new
    timed = []
    for number in range(total):
        time = START + seconds * number / total
        phase = "ordinary" if number < ordinary else "odd" if number < ordinary + odd else "new"
        principal = "k0" if flood and phase != "ordinary" else f"k{number % keys}"
        where = {"tenant": TENANT, "principal": principal}
        features = {"characters": random_.gauss(60, 15), "words": random_.gauss(11, 3)}
        request = signal_event(f"r{number}", time, features=features, embedding=embed(phase == "new"), **where)
        timed.append((time, request))
        if phase == "odd":
            detector = ("pii", "toxicity", "injection")[number % 3]
            timed.append((time, finding_of(f"r{number}", time, detector, **where)))
        end = time + 0.8
        measured = {"characters": random_.gauss(70, 10), "words": 12.0, "latency_seconds": random_.gauss(0.8, 0.1)}
        answer = signal_event(
            f"r{number}", end, side="output", features=measured, embedding=embed(phase == "new"), **where
        )
        timed.append((end, answer))
    timed += [
        (START + second + 1.0, score_tick(0, {"gateway": START + float(second)})) for second in range(int(seconds) + 40)
    ]
    return [event for _, event in sorted(timed, key=lambda pair: pair[0])]


def settings(**more):
    path = Path(__file__).parents[3] / "weir.toml"
    shipped = tomllib.loads(path.read_text())["tenants"]
    return more or shipped


def first(chain, detector):
    return next(
        event.data
        for event in chain.alerts
        if isinstance(event.data, AlertRecord) and event.data.detector == detector and event.data.state == "firing"
    )


# Seed 2 begins with the false alarm that a budget of one in 1,000 events allows now and then.
@pytest.mark.parametrize("seed", [0, 1, 3, 4])
@pytest.mark.parametrize("patterns", [settings(), settings(**{"demo-*": REQUIRED | GATES})], ids=["shipped", "brief"])
def test_the_demos_traffic_gives_its_alerts_and_the_request_within_two_minutes(patterns, seed):
    chain = Chain(patterns, stream_detectors).run(demo_log(seed))
    for detector in ("pii", "toxicity", "drift"):
        assert first(chain, detector).evidence
    assert first(chain, "drift").at > START + 75 * 77 / 150, "the ordinary prompts are no drift"
    (request,) = [decision.record for decision in chain.decisions if decision.record.state == "requested"]
    assert request.at - START < 120
    assert set(request.gates.values()) == {True}


def test_the_same_findings_give_the_same_alerts():
    chain = Chain(settings(), stream_detectors).run(demo_log(1))
    again = chain.replayed(stream_detectors)
    assert plain(again.alerts) == plain(chain.alerts)
    assert again.decisions == chain.decisions
    twice = Chain(settings(), stream_detectors).run(demo_log(1))
    assert plain(twice.alerts) == plain(chain.alerts)


def test_one_key_that_floods_starts_no_retraining_and_fifty_keys_without_drift_neither():
    """F20: alerts are raised; the request is suppressed, with the share that was too large."""
    chain = Chain(settings(), stream_detectors).run(demo_log(2, flood=True))
    assert first(chain, "drift").severity == "warning"
    assert {decision.record.state for decision in chain.decisions} == {"suppressed"}
    assert any("largest_share: 1.00 of the events are of one API key" in item.record.reason for item in chain.decisions)
    log = [
        finding_of(f"r{number}", START + number / 20, "toxicity", tenant=TENANT, principal=f"k{number % 50}")
        for number in range(2000)
    ]
    many = Chain(settings(), stream_detectors).run(log)
    assert first(many, "toxicity")
    assert [decision.record.state for decision in many.decisions] == ["suppressed"] * len(many.decisions)


def test_ordinary_traffic_alone_raises_nothing_under_the_default_budget():
    for seed in range(3):
        chain = Chain({"*": {}}, stream_detectors).run(demo_log(seed, odd=0, new=0, ordinary=400, seconds=300.0))
        assert chain.alerts == []
        assert chain.decisions == []
