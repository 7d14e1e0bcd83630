"""Which events are looked at: one a conversation, and what one id, and all ids of a key, may suppress."""

import random
from collections import Counter

import msgspec
import pytest

from detectors.streams.conversations import BY_ONE, TURNS, Conversations, ConversationsState

WINDOW = 512


def fed(events, window=WINDOW, turns=TURNS):
    """Return whether each (key, id) is looked at."""
    conversations = Conversations(window, turns)
    return [conversations.looks_at(*event) for event in events]


def windows(events, looked, size=WINDOW):
    """Yield the (key, id, looked) of each window that is full."""
    rows = [(*event, mine) for event, mine in zip(events, looked, strict=True)]
    return (rows[end - size : end] for end in range(size, len(rows) + 1, 64))


def test_an_event_without_a_conversation_is_looked_at():
    assert all(fed([("k", "")] * 2000))


def test_a_window_of_zero_looks_at_every_event():
    assert all(fed([("k", "a")] * 50, window=0))


def test_a_conversation_is_looked_at_once_in_a_window():
    conversations = Conversations(10)
    others = [f"other{number}" for number in range(9)]
    told = [conversations.looks_at("k", name) for name in ["a", "a", *others, "a", "a"]]
    assert told == [True, False, *[True] * 9, True, False]


@pytest.mark.parametrize("turns", [2, 5, TURNS])
@pytest.mark.parametrize("key", [lambda _: "k", str], ids=["one key", "a key each"])
def test_each_conversation_is_looked_at_once(turns, key):
    rng = random.Random(0)
    waiting = [[number, turns] for number in range(300)]
    events = []
    while waiting:
        place = rng.randrange(min(10, len(waiting)))
        number, left = waiting[place]
        events.append((key(number), str(number)))
        waiting[place][1] = left - 1
        if left == 1:
            del waiting[place]
    looks = Counter(event[1] for event, mine in zip(events, fed(events), strict=True) if mine)
    assert set(looks.values()) == {1}


@pytest.mark.parametrize("others", [0, 1, 4], ids=lambda count: f"{count} other keys")
def test_one_id_on_all_events_of_a_key_suppresses_at_most_half_of_them(others):
    events = [(f"k{n % (others + 1)}", f"c{n // 25}" if n % (others + 1) else "always") for n in range(3000)]
    for rows in windows(events, fed(events)):
        mine = [looked for key, _, looked in rows if key == "k0"]
        assert mine.count(False) <= BY_ONE * len(mine) + 1
        assert mine.count(True) <= BY_ONE * len(mine) + 1, "nor is more looked at than that asks for"


@pytest.mark.parametrize("ids", [2, 3, 8])
def test_a_few_ids_in_turn_do_not_hide_a_key(ids):
    events = [("k", str(number % ids)) for number in range(3000)]
    assert all(sum(row[2] for row in rows) >= WINDOW / (2 * TURNS) - 1 for rows in windows(events, fed(events)))


def test_a_long_conversation_beside_others_of_its_key_is_looked_at_once():
    events = [("k", "long" if number % 5 == 0 else f"short{number // 5}") for number in range(WINDOW)]
    assert [mine for event, mine in zip(events, fed(events), strict=True) if event[1] == "long"].count(True) == 1


def test_longer_conversations_are_looked_at_once_where_that_is_asked_for():
    events = [(str(number // 40), str(number // 40)) for number in range(2000)]
    assert fed(events, turns=40).count(True) == 50
    assert fed(events).count(True) > 500


def test_the_id_of_one_key_suppresses_nothing_of_another():
    assert fed([("a", "x"), ("b", "x"), ("b", "x"), ("a", "x")]) == [True, True, False, False]


@pytest.mark.parametrize("seed", range(4))
def test_no_id_and_no_key_suppresses_more_than_its_share(seed):
    rng = random.Random(seed)
    events = []
    while len(events) < 4000:
        key, one = rng.choice("abc"), rng.choice(["", "always", f"c{rng.randrange(6)}", f"n{len(events)}"])
        events += [(key, one)] * rng.randrange(1, 12)
    for rows in windows(events, fed(events)):
        sent, by_all = Counter(row[0] for row in rows), Counter(row[0] for row in rows if not row[2])
        by_one = Counter(row[:2] for row in rows if not row[2])
        # Looks leave the window before what they let be suppressed: a few events of slack.
        assert all(count <= max(TURNS, BY_ONE * sent[key] + TURNS / 2) for (key, _), count in by_one.items())
        assert all(count <= (1 - 1 / (2 * TURNS)) * sent[key] + 2 for key, count in by_all.items())


def test_what_is_kept_is_bounded_by_the_window():
    conversations = Conversations(10)
    for number in range(5000):
        conversations.looks_at(f"k{number}", f"c{number}")
    kept = (conversations.snapshot().rows, conversations._keys, conversations._ids)
    assert [len(one) for one in kept] == [10, 10, 10]


@pytest.mark.parametrize("cut", [0, 7, 511, 512, 900])
def test_a_restored_window_goes_on_identically(cut):
    rng = random.Random(1)
    events = [(rng.choice("ab"), rng.choice(["", "always", f"c{number // 5}"])) for number in range(1500)]
    first, again = Conversations(WINDOW), Conversations(WINDOW)
    for event in events[:cut]:
        first.looks_at(*event)
    again.restore(first.snapshot())
    assert [first.looks_at(*event) for event in events[cut:]] == [again.looks_at(*event) for event in events[cut:]]
    assert first.snapshot() == again.snapshot()


def test_a_state_of_a_larger_window_is_refused():
    with pytest.raises(ValueError, match=r"5 events.*at most 4"):
        Conversations(4).restore(ConversationsState(rows=[3] * 5))


def test_the_empty_state_of_an_earlier_version_is_read():
    """Sentinels look at every answer, so their states go on."""
    assert msgspec.msgpack.decode(msgspec.msgpack.encode({"looked_at": []}), type=ConversationsState).rows == []


def test_the_first_event_of_a_key_is_looked_at_although_its_hash_equals_another_keys_conversation():
    assert fed([("key-1", "c13031"), ("key-2", "d37040")]) == [True, True]
