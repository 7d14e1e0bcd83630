"""Pages of requests contain each request once, for any times, partitions and filters."""

import math
from itertools import chain

import pytest
from support.console_ledger import NAMES, changed
from support.events import event_of
from support.ledger_log import end, request

from stream.ledger.queries import request_pages as module
from stream.ledger.queries.console_queries import LedgerPages
from stream.ledger.queries.ledger_reader import LedgerReader
from stream.ledger.queries.page_cursor import NEWEST, Cursor
from stream.wire import Feedback, Usage


def pages(directory, **query):
    """Return the request ids of each page."""
    found, before = [], NEWEST
    while not found or before != NEWEST:
        page = LedgerPages(directory).requests(before=before, **query)
        found.append([row.request_id for row in page.requests])
        before = Cursor.parse(page.next)
    return found


@pytest.mark.parametrize("limit", [1, 3, 7, 20, 100])
def test_requests_with_equal_times_are_split_over_pages(maker, tmp_path, limit):
    names = [f"r{number:02d}" for number in range(20)]
    for name in names:
        maker.side(name, "input", 1_800_000_000.125)
    found = pages(tmp_path, limit=limit)
    assert list(chain(*found)) == names[::-1]
    assert [len(page) for page in found] == [limit] * (20 // limit) + [20 % limit] * (20 % limit > 0)


@pytest.mark.parametrize("limit", [1, 2, 5])
def test_a_flagged_request_is_at_the_time_of_its_newest_flagged_verdict(maker, tmp_path, limit):
    for number in range(6):
        maker.side(f"r{number}", "input", 100.0 + number, flagged=("pii", "toxicity"))
    for number in range(6):
        maker.side(f"r{number}", "output", 200.0 - number // 2, flagged=("pii",))
    maker.side("r6", "input", 150.0)
    assert list(chain(*pages(tmp_path, limit=limit, flagged=True))) == ["r1", "r0", "r3", "r2", "r5", "r4"]


@pytest.mark.parametrize("flagged", [False, True])
def test_all_requests_of_a_small_tenant_are_found(maker, tmp_path, monkeypatch, flagged):
    monkeypatch.setattr(module, "_SCANNED", 10)
    for number in range(120):
        tenant = "rare" if number % 40 == 0 else "acme"
        maker.side(f"r{number:03d}", "input", 100.0 + number // 3, tenant=tenant, flagged=("pii",))
    found = pages(tmp_path, limit=5, tenant="rare", flagged=flagged)
    assert list(chain(*found)) == ["r080", "r040", "r000"]
    assert [] in found, "a page without matches is not the last one"


def test_a_request_without_a_count_of_tokens_has_none_instead_of_zero(maker, tmp_path):
    counted, uncounted = end("r1", 100.0), changed(end("r2", 101.0), usage=Usage())
    unanswered = changed(end("r3", 102.0), usage=Usage(prompt_tokens=3))
    maker.apply(NAMES.inference, *(request(one, 99.0) for one in ("r1", "r2", "r3")), counted, uncounted, unanswered)
    rows = LedgerPages(tmp_path).requests(limit=3).requests
    assert {row.request_id: row.tokens for row in rows} == {"r1": 5, "r2": None, "r3": 0}


@pytest.mark.parametrize("cursor", [NEWEST, Cursor(1.1, "a/b"), Cursor(1e-9, ""), Cursor(-3.0, "ü")])
def test_a_cursor_is_parsed_from_its_text(cursor):
    assert Cursor.parse(str(cursor)) == cursor
    assert Cursor.parse("5") == Cursor(5.0, "")
    assert math.isinf(NEWEST.time)


@pytest.mark.parametrize("text", ["/a", "nan/a", "inf", "yesterday/a", "...../a", "1e999"])
def test_an_invalid_cursor_is_an_error(text):
    with pytest.raises(ValueError, match=r"time|float"):
        Cursor.parse(text)


def test_the_requests_of_a_conversation_are_found_in_all_partitions_through_the_index(maker):
    for number in range(8):
        event = request(f"r{number}", 100.0 + number, conversation_id="c1" if number % 2 else "", tenant="acme")
        maker.apply(NAMES.inference, event, partition=number // 4)
    databases = [maker.store.shards[number].database for number in range(2)]
    found = module.conversation_requests(databases, "c1", tenant="acme", limit=3)
    assert found == ["r3", "r5", "r7"]
    assert module.conversation_tenants(databases, "c1") == ["acme"]
    assert module.conversation_requests(databases, "", tenant="acme", limit=9) == []
    (plan,) = [
        row
        for row in databases[0].execute(f"EXPLAIN QUERY PLAN {module._OF_CONVERSATION}", ("x", 1))
        if "events" in row[3]
    ]
    assert "INDEX events_conversation (conversation=?)" in plan[3]


def test_copies_are_marked_and_are_neither_turns_nor_traffic(maker, tmp_path):
    """Weir sends copies of requests for `consistency` and for a challenger in shadow."""
    for name, original in (("r1", ""), ("copy", "r1")):
        event = request(name, 100.0, conversation_id="c1", tenant="acme", shadow_of=original)
        maker.apply(NAMES.inference, event)
    found = LedgerPages(tmp_path).requests(limit=9).requests
    assert {row.request_id: row.shadow_of for row in found} == {"r1": "", "copy": "r1"}
    assert [one.request_id for one in LedgerReader(tmp_path).conversation_of("copy", limit=9)] == ["r1"]
    assert module.traffic([maker.store.shards[0].database], 101.0, 2) == ([0, 1], [0, 0])


def test_the_last_rating_of_each_api_key_counts(maker, tmp_path):
    for name in ("better", "worse", "other"):
        maker.side(name, "input", 100.0)
        maker.side(name, "output", 101.0)
    given = [
        ("better", "k_1", "down"),
        ("better", "k_1", "down"),
        ("better", "k_1", "up"),
        ("worse", "k_1", "5"),
        ("worse", "k_1", "2"),
        ("other", "k_1", "down"),
        ("other", "k_2", "up"),
    ]
    for time, (name, key, rating) in enumerate(given, 102):
        rated = Feedback(request_id=name, tenant="acme", principal=key, rating=rating)
        maker.apply(NAMES.feedback, event_of(rated, f"{name}/feedback/{time}", float(time)))
    assert [row.request_id for row in LedgerPages(tmp_path).answers_to_review(10)] == ["other", "worse"]
    counts = {name: LedgerReader(tmp_path).request(name).judgments.counts for name in ("better", "worse", "other")}
    assert counts == {"better": {"rated up": 1}, "worse": {"rated 2": 1}, "other": {"rated down": 1, "rated up": 1}}


def test_the_requests_of_a_second_are_counted_in_the_index_alone(maker):
    """An open page of the console counts the last minute twice a second."""
    database, statements = maker.store.shards[0].database, []
    database.set_trace_callback(statements.append)
    module.traffic([database], 100.0, 60)
    database.set_trace_callback(None)
    (plan,) = database.execute(f"EXPLAIN QUERY PLAN {next(text for text in statements if 'events' in text)}")
    assert "USING COVERING INDEX events_time (time>?)" in plan[3]
