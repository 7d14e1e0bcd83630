"""API keys that contradict clear majorities: they are named, and honest keys are rarely named."""

import random

from stream.loop.gate.poisoning import Vote, disagreeing_keys


def votes(generator, *, groups, rate_of):
    """Return votes of each key in each group; a key contradicts the true vote of the group with its rate."""
    found = []
    for group in range(groups):
        truth = generator.random() < 0.5
        found += [
            Vote(principal=key, group=group, up=truth != (generator.random() < rate)) for key, rate in rate_of.items()
        ]
    return found


def test_honest_keys_are_rarely_named():
    honest = {f"key{number}": 0.1 for number in range(10)}

    assert (
        sum(bool(disagreeing_keys(votes(random.Random(seed), groups=60, rate_of=honest), 0.05)) for seed in range(100))
        <= 9
    )


def test_a_contradicting_key_is_named_in_any_order_of_the_votes():
    given = votes(random.Random(2), groups=12, rate_of={**{f"key{number}": 0.0 for number in range(5)}, "liar": 1.0})
    shuffled = random.Random(3).sample(given, len(given))

    assert list(disagreeing_keys(given, 0.05)) == ["liar"]
    assert disagreeing_keys(shuffled, 0.05) == disagreeing_keys(given, 0.05)


def test_a_flood_of_thumbs_is_one_vote():
    given = [Vote(principal=f"key{number}", group=0, up=True) for number in range(5)]
    flood = [Vote(principal="flooder", group=0, up=False)] * 10_000

    assert not disagreeing_keys([*given, *flood], 0.05)
