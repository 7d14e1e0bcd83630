"""Selection of events: one per conversation, with bounds on the events that one id, or all ids of a key, can suppress."""

import random
from collections import Counter

import msgspec
import pytest

from detectors.streams.conversations import BY_ONE, TURNS, Conversations, ConversationsState

WINDOW = 512


def fed(events, window=WINDOW, turns=TURNS):
    """Return, for each (key, id), whether the event is used."""
    conversations = Conversations(window, turns)
    return [conversations.looks_at(*event) for event in events]


def windows(events, looked, size=WINDOW):
    """Return an iterator over full windows, which are lists of (key, id, whether the event is used)."""
    rows = [(*event, mine) for event, mine in zip(events, looked, strict=True)]
    return (rows[end - size : end] for end in range(size, len(rows) + 1, 64))


def test_an_event_without_a_conversation_is_used():
    assert all(fed([("k", "")] * 2000))


def test_with_a_window_of_zero_every_event_is_used():
    assert all(fed([("k", "a")] * 50, window=0))


def test_one_event_of_a_conversation_is_used_in_each_window():
    conversations = Conversations(10)
    others = [f"other{number}" for number in range(9)]
    told = [conversations.looks_at("k", name) for name in ["a", "a", *others, "a", "a"]]
    assert told == [True, False, *[True] * 9, True, False]


def conversations_of(turns, key):
    """Return the events of 300 conversations, ten at a time in random order."""
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
    return events


def without_ids(events):
    """Return the events as (key, "", digests of the turns, event): each repeats the earlier turns of its conversation."""
    seen = Counter()
    chats = []
    for number, event in enumerate(events):
        seen[event] += 1
        key, one = event
        turns = tuple(f"{key} {one} {turn}" for turn in range(seen[event], max(0, seen[event] - 9), -1))
        chats.append((key, "", turns if one else (), str(number)))
    return chats


@pytest.mark.parametrize("turns", [2, 5, TURNS, 20])
@pytest.mark.parametrize("key", [lambda _: "k", str], ids=["one key", "a key each"])
def test_the_same_events_are_used_if_chats_have_no_ids(turns, key):
    events = conversations_of(turns, key)
    assert fed(without_ids(events)) == fed(events)


@pytest.mark.parametrize("turns", [2, 5, TURNS])
@pytest.mark.parametrize("key", [lambda _: "k", str], ids=["one key", "a key each"])
def test_exactly_one_event_of_each_conversation_is_used(turns, key):
    events = conversations_of(turns, key)
    looks = Counter(event[1] for event, mine in zip(events, fed(events), strict=True) if mine)
    assert set(looks.values()) == {1}


@pytest.mark.parametrize("others", [0, 1, 4], ids=lambda count: f"{count} other keys")
def test_one_id_on_all_events_of_a_key_suppresses_at_most_half_of_them(others):
    events = [(f"k{n % (others + 1)}", f"c{n // 25}" if n % (others + 1) else "always") for n in range(3000)]
    for rows in windows(events, fed(events)):
        mine = [looked for key, _, looked in rows if key == "k0"]
        assert mine.count(False) <= BY_ONE * len(mine) + 1
        assert mine.count(True) <= BY_ONE * len(mine) + 1, "and not more than that share is used"


@pytest.mark.parametrize("ids", [2, 3, 8])
def test_a_few_alternating_ids_do_not_hide_the_traffic_of_a_key(ids):
    events = [("k", str(number % ids)) for number in range(3000)]
    assert all(sum(row[2] for row in rows) >= WINDOW / (2 * TURNS) - 1 for rows in windows(events, fed(events)))


def test_one_event_of_a_long_conversation_is_used_if_its_key_has_others():
    events = [("k", "long" if number % 5 == 0 else f"short{number // 5}") for number in range(WINDOW)]
    assert [mine for event, mine in zip(events, fed(events), strict=True) if event[1] == "long"].count(True) == 1


def test_the_option_turns_sets_the_length_of_conversations_that_count_once():
    events = [(str(number // 40), str(number // 40)) for number in range(2000)]
    assert fed(events, turns=40).count(True) == 50
    assert fed(events).count(True) > 500


def test_an_id_of_one_key_suppresses_no_event_of_another_key():
    assert fed([("b", ""), ("a", "x"), ("b", "x"), ("b", "x"), ("a", "x")]) == [True, True, True, False, False]


@pytest.mark.parametrize("sent", [list, without_ids], ids=["ids", "no ids"])
@pytest.mark.parametrize("seed", range(4))
def test_no_id_and_no_key_suppresses_more_than_its_share(seed, sent):
    rng = random.Random(seed)
    events = []
    while len(events) < 4000:
        key, one = rng.choice("abc"), rng.choice(["", "always", f"c{rng.randrange(6)}", f"n{len(events)}"])
        events += [(key, one)] * rng.randrange(1, 12)
    for rows in windows(events, fed(sent(events))):
        total, by_all = Counter(row[0] for row in rows), Counter(row[0] for row in rows if not row[2])
        by_one = Counter(row[:2] for row in rows if not row[2])
        # A used event leaves the window before the events that it suppressed, so the bounds have a slack of a few events.
        assert all(count <= max(TURNS, BY_ONE * total[key] + TURNS / 2) for (key, _), count in by_one.items())
        assert all(count <= (1 - 1 / (2 * TURNS)) * total[key] + 2 for key, count in by_all.items())


def test_the_state_is_bounded_by_the_window():
    conversations = Conversations(10)
    for number in range(5000):
        conversations.looks_at(f"k{number}", f"c{number}")
        conversations.looks_at(f"k{number}", "", (f"t{number}",), f"e{number}")
    kept = (conversations.snapshot().rows, conversations._keys, conversations._ids, conversations._chats)
    assert [len(one) for one in kept] == [10, 5, 10, 10]


@pytest.mark.parametrize("sent", [list, without_ids], ids=["ids", "no ids"])
@pytest.mark.parametrize("cut", [0, 7, 511, 512, 900])
def test_a_restored_window_selects_the_same_events(cut, sent):
    rng = random.Random(1)
    events = sent([(rng.choice("ab"), rng.choice(["", "always", f"c{number // 5}"])) for number in range(1500)])
    first, again = Conversations(WINDOW), Conversations(WINDOW)
    for event in events[:cut]:
        first.looks_at(*event)
    again.restore(msgspec.msgpack.decode(msgspec.msgpack.encode(first.snapshot()), type=ConversationsState))
    assert [first.looks_at(*event) for event in events[cut:]] == [again.looks_at(*event) for event in events[cut:]]
    assert first.snapshot() == again.snapshot()


def test_the_state_of_a_larger_window_is_an_error():
    with pytest.raises(ValueError, match=r"5 events.*at most 4"):
        Conversations(4).restore(ConversationsState(rows=[3] * 5))
    with pytest.raises(ValueError, match=r"5 events.*at most 4"):
        Conversations(4).restore(ConversationsState(chats=dict.fromkeys(range(5), 1)))


def test_the_empty_state_of_an_earlier_version_is_read():
    """The detector `sentinel` uses every answer, so its stored states have this empty window and must be readable."""
    assert msgspec.msgpack.decode(msgspec.msgpack.encode({"looked_at": []}), type=ConversationsState).rows == []


def test_the_first_event_of_a_key_is_used_although_its_hash_equals_that_of_another_conversation():
    assert fed([("key-1", "c13031"), ("key-2", "d37040")]) == [True, True]
