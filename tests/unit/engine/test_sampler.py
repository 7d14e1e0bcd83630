import math
from collections import Counter

import pytest
import torch

from serving.engine.protocol import Sampling
from serving.engine.sampler import Draw, choose


def _draw(**changes):
    return Draw(Sampling(**{"max_tokens": 1, **changes}))


def _logits(*probabilities):
    return torch.tensor([[math.log(p) for p in probabilities]])


def _counts(logits, draw, times=2000):
    return Counter(choose(logits.clone(), [draw])[0] for _ in range(times))


def test_temperature_zero_selects_the_most_likely_token():
    assert choose(_logits(0.2, 0.5, 0.3), [_draw(temperature=0.0)]) == [1]


def test_draws_follow_the_probabilities():
    counts = _counts(_logits(0.2, 0.5, 0.3), _draw(seed=1))
    assert [counts[token] / 2000 for token in range(3)] == pytest.approx([0.2, 0.5, 0.3], abs=0.04)


def test_temperature_sharpens_and_flattens():
    cold = _counts(_logits(0.4, 0.6), _draw(seed=2, temperature=0.25))
    hot = _counts(_logits(0.4, 0.6), _draw(seed=2, temperature=2.0))
    assert cold[1] / 2000 == pytest.approx(0.6**4 / (0.6**4 + 0.4**4), abs=0.04)
    assert hot[1] / 2000 == pytest.approx(0.6**0.5 / (0.6**0.5 + 0.4**0.5), abs=0.04)


def test_top_p_keeps_the_fewest_tokens_that_reach_it_and_renormalises():
    counts = _counts(_logits(0.1, 0.5, 0.3, 0.1), _draw(seed=3, top_p=0.75))
    assert set(counts) == {1, 2}
    assert counts[1] / 2000 == pytest.approx(0.625, abs=0.04)


def test_a_tiny_top_p_keeps_only_the_most_likely_token():
    assert set(_counts(_logits(0.3, 0.4, 0.3), _draw(seed=4, top_p=1e-6), 200)) == {1}


def test_top_p_is_exact_if_it_needs_more_than_a_few_hundred_tokens():
    logits = torch.zeros((1, 1000))
    logits[0, 999] = -math.inf
    counts = _counts(logits, _draw(seed=5, top_p=0.999), 4000)
    assert len(counts) > 900
    assert 999 not in counts


def test_a_token_with_probability_zero_is_never_drawn():
    logits = torch.tensor([[-math.inf, 0.0, -math.inf, 0.0, -math.inf]])
    assert set(_counts(logits, _draw(seed=6), 500)) == {1, 3}


def test_the_same_seed_draws_the_same_tokens_and_another_seed_does_not():
    logits = torch.randn((1, 500), generator=torch.Generator().manual_seed(0))

    def series(seed):
        draw = _draw(seed=seed)
        return [choose(logits.clone(), [draw])[0] for _ in range(30)]

    assert series(7) == series(7)
    assert series(7) != series(8)
    assert series(None) != series(None)
    assert series(-1) == series(-1)


def test_the_draws_of_a_row_are_independent_of_its_batch():
    logits = torch.randn((6, 400), generator=torch.Generator().manual_seed(1))
    options = [
        {"seed": 1},
        {"temperature": 0.0},
        {"seed": 2, "top_p": 0.5},
        {"seed": 3, "temperature": 1.7},
        {"seed": 4, "top_p": 0.9, "presence_penalty": 1.0},
        {"seed": 5, "frequency_penalty": 2.0},
    ]
    together, alone = [_draw(**o) for o in options], [_draw(**o) for o in options]
    for _ in range(10):
        batched = choose(logits.clone(), together)
        assert batched == [choose(logits[i : i + 1].clone(), [alone[i]])[0] for i in range(6)]


def test_penalties_lower_the_logits_of_used_tokens_by_the_formula_of_openai():
    draw = _draw(temperature=0.0, frequency_penalty=0.5, presence_penalty=0.25)
    logits = torch.tensor([[1.0, 0.0, -1.1]])
    # Token 0 has 1.0, then .25, then -.25. So the third draw is token 1 (0.0), which then has -.75.
    assert [choose(logits.clone(), [draw])[0] for _ in range(4)] == [0, 0, 1, 0]


def test_a_negative_penalty_rewards_repetition():
    draw = _draw(temperature=0.0, presence_penalty=-2.0)
    first = choose(torch.tensor([[0.0, 1.0]]), [draw])
    assert first == [1]
    assert choose(torch.tensor([[2.5, 1.0]]), [draw]) == [1]


def test_bfloat16_logits_are_sampled_in_float32():
    logits = _logits(0.2, 0.5, 0.3).to(torch.bfloat16)
    counts = _counts(logits, _draw(seed=9, presence_penalty=0.1))
    assert set(counts) == {0, 1, 2}


def test_biases_change_the_logits_of_known_tokens_in_place():
    draw = _draw(temperature=0.0, logit_bias=((0, 1.5), (2, -3.0), (9, 100.0)), presence_penalty=0.5)
    logits = torch.tensor([[1.0, 2.0, 3.0]])
    assert choose(logits, [draw]) == [0]
    assert logits.tolist() == [[2.5, 2.0, 0.0]]
    # The penalty for the first draw is applied too.
    assert choose(torch.tensor([[1.0, 2.1, 3.0]]), [draw]) == [1]


def test_many_biases_are_added_in_few_operations():
    draw = _draw(temperature=0.0, logit_bias=tuple((token, 1.0) for token in range(1024)))
    with torch.profiler.profile() as profile:
        choose(torch.zeros((1, 2000)), [draw])
    assert sum(event.count for event in profile.key_averages()) < 60
