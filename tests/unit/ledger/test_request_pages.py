"""Pages of requests: none skipped, none twice, whatever their times, partitions and filters."""

import math

import pytest
from support.console_ledger import LedgerMaker

from stream.ledger.queries import request_pages as module
from stream.ledger.queries.console_queries import LedgerPages
from stream.ledger.queries.page_cursor import NEWEST, Cursor


@pytest.fixture
def maker(tmp_path):
    maker = LedgerMaker(tmp_path)
    yield maker
    maker.close()


def paged(directory, **asked):
    """Return the request ids of one page after the other."""
    pages, ids, before = LedgerPages(directory), [], NEWEST
    while not ids or before != NEWEST:
        page = pages.requests(before=before, **asked)
        ids.append([row.request_id for row in page.requests])
        before = Cursor.parse(page.next)
    return ids


def flat(pages):
    return [name for page in pages for name in page]


@pytest.mark.parametrize("limit", [1, 3, 7, 20, 100])
def test_requests_of_one_moment_are_on_one_page_or_the_next(maker, tmp_path, limit):
    names = [f"r{number:02d}" for number in range(20)]
    for name in names:
        maker.side(name, "input", 1_800_000_000.125)
    pages = paged(tmp_path, limit=limit)
    assert flat(pages) == names[::-1]
    assert [len(page) for page in pages] == [limit] * (20 // limit) + [20 % limit] * (20 % limit > 0)


@pytest.mark.parametrize("limit", [1, 2, 5])
def test_a_flagged_request_stands_at_its_newest_flagged_verdict_alone(maker, tmp_path, limit):
    for number in range(6):
        maker.side(f"r{number}", "input", 100.0 + number, flagged=("pii", "toxicity"))
    for number in range(6):
        maker.side(f"r{number}", "output", 200.0 - number // 2, flagged=("pii",))
    maker.side("r6", "input", 150.0)
    assert flat(paged(tmp_path, limit=limit, flagged=True)) == ["r1", "r0", "r3", "r2", "r5", "r4"]


@pytest.mark.parametrize("flagged", [False, True])
def test_a_tenant_with_few_requests_among_many_is_found_to_the_last(maker, tmp_path, monkeypatch, flagged):
    monkeypatch.setattr(module, "_LOOKED_AT", 10)
    for number in range(120):
        tenant = "rare" if number % 40 == 0 else "acme"
        maker.side(f"r{number:03d}", "input", 100.0 + number // 3, tenant=tenant, flagged=("pii",))
    pages = paged(tmp_path, limit=5, tenant="rare", flagged=flagged)
    assert flat(pages) == ["r080", "r040", "r000"]
    assert [] in pages, "nothing among those that were looked at is no end"


def test_a_place_is_written_so_that_it_is_read_again():
    for place in (NEWEST, Cursor(1.1, "a/b"), Cursor(1e-9, ""), Cursor(-3.0, "ü")):
        assert Cursor.parse(str(place)) == place
    assert Cursor.parse("5") == Cursor(5.0, "")
    for text in ("/a", "nan/a", "inf", "yesterday/a", "...../a", "1e999"):
        with pytest.raises(ValueError, match=r"time|float"):
            Cursor.parse(text)
    assert math.isinf(NEWEST.time)
