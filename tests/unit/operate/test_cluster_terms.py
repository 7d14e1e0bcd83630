"""Typical terms of a cluster: words that are in a significantly larger share of evidence texts than of earlier texts."""

import pytest
from support.alert_records import alert
from support.console_ledger import LedgerMaker

from stream.ledger.queries import request_pages
from stream.ledger.queries.console_queries import AlertStory, LedgerPages
from stream.wire import Message, ToolResponsePart
from weir.demo.prompts import ORDINARY
from weir.operate import cluster_terms
from weir.operate.cluster_terms import Term, evidence_text, typical_terms
from weir.operate.request_text import RequestText

SQL = [
    "Write a SQL query that joins orders and customers.",
    "How do I add an index to a SQL table?",
    "Why is this query slow on a large table?",
    "Explain the plan of a SQL query.",
    "Which index does the query use?",
]


def test_words_of_the_evidence_are_ordered_by_significance():
    terms = typical_terms(SQL, ORDINARY[:60])
    assert terms[0] == Term(term="query", texts=4, reference_texts=0)
    assert [one.term for one in terms] == ["query", "sql"]


def test_texts_like_the_reference_have_no_terms():
    assert typical_terms(ORDINARY[::3], [text for number, text in enumerate(ORDINARY) if number % 3]) == ()


def test_a_repeated_word_counts_once_per_text_in_any_case():
    terms = typical_terms(["Deadlock deadlock DEADLOCK"] * 3, ORDINARY[:20])
    assert terms == (Term(term="deadlock", texts=3, reference_texts=0),)


@pytest.mark.parametrize(
    ("texts", "reference"),
    [
        ([], ORDINARY),
        (SQL, []),
        ([], []),
        (["the token of one person"] * 2, ORDINARY),  # fewer than three evidence texts
        (["\ud800\x00\u202e" * 1000, "", "7" * 10_000] * 3, ORDINARY),
    ],
)
def test_too_few_texts_or_none_with_words_have_no_terms(texts, reference):
    assert typical_terms(texts, reference) == ()


def test_earlier_requests_are_found_behind_those_of_other_tenants_and_models(tmp_path, monkeypatch):
    monkeypatch.setattr(request_pages, "_SCANNED", 10)
    monkeypatch.setattr(cluster_terms, "_SEARCHED_REQUESTS", 5)
    story = AlertStory(alert=alert(opened_at=900.0, evidence=("r001",)), changes=[], evidence=[])
    tenant, model = story.alert.tenant, story.alert.model
    maker = LedgerMaker(tmp_path)
    for number in range(60):
        others = {"tenant": "busy"} if number > 30 else {"model": "other"} if number > 12 else {}
        maker.side(f"r{number:03}", "input", 100.0 + number, **{"tenant": tenant, "model": model, **others})
    maker.close()
    found = cluster_terms._reference(LedgerPages(tmp_path), story)
    assert found == [f"r{number:03}" for number in range(12, -1, -1) if number != 1]


def test_the_evidence_of_an_alert_with_a_part_is_the_newest_turn():
    def results(text):
        return Message(role="tool", parts=(ToolResponsePart(response=text),))

    messages = (
        *(Message.of_text("user", "old turn"), results("old result"), Message.of_text("assistant", "reply")),
        *(Message.of_text("user", "new turn"), results("new result")),
    )
    text = RequestText(messages=messages, prompt="old turn\nreply\nnew turn", answer="bye")
    found = {
        (side, part): evidence_text(text, side, part)
        for side, part in [("input", ""), ("input", "prompt"), ("input", "tool_result"), ("output", "answer")]
    }
    assert found == {
        ("input", ""): "old turn\nreply\nnew turn",
        ("input", "prompt"): "new turn",
        ("input", "tool_result"): "new result",
        ("output", "answer"): "bye",
    }
    assert evidence_text(RequestText(messages=messages[:1]), "input", "tool_result") is None
