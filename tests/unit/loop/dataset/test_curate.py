"""Curation of a dataset: it is a function of the events, and left-out rows are counted by reason."""

import random

import msgspec
import pytest
from support.dataset_log import (
    LOOSE,
    START,
    WordScanner,
    approval,
    correction,
    exchange,
    join,
    loose,
    reviewed,
    rows_of,
    thumb,
    verdict,
    words,
)
from support.events import an_end, event_of

from stream.loop.dataset.build import _refusal, refusals
from stream.loop.dataset.curate import curate
from stream.loop.dataset.log import DatasetRequest
from stream.loop.dataset.rows import Turn
from stream.loop.settings import DatasetSettings
from stream.wire import ADDED, Choice, Message, TextPart, ToolCallPart


def test_the_digest_depends_on_the_events_and_not_on_their_order_or_duplicates():
    events = [*reviewed(30), correction("q3", words("better"), by="r1")]
    expected = rows_of(events, loose(eval_share=0.2)).digest
    for seed in range(3):
        shuffled = events + events[:20]
        random.Random(seed).shuffle(shuffled)
        assert rows_of(shuffled, loose(eval_share=0.2)).digest == expected
    more = [*events, *exchange("later"), approval("later")]
    assert rows_of(more, loose(eval_share=0.2)).digest != expected


def renamed(events):
    """Return the events with other event ids, as a server sends them that uses the same request ids."""
    return [msgspec.structs.replace(event, id=f"{event.id}/2") for event in events]


@pytest.mark.parametrize(
    "second",
    [
        {"prompt": "the prompt of another user"},
        {"prompt": "the prompt of another user", "answer": words("another answer"), "training": False},
        {"answer": words("another answer")},
        {"author": "k9"},
    ],
)
def test_a_request_id_of_two_requests_is_no_row_because_a_review_can_be_about_either(second):
    events = [*exchange("q"), *renamed(exchange("q", at=100.0, **second)), approval("q", at=200.0)]
    for order in (events, events[::-1]):
        found = rows_of(order)
        assert (found.train, found.dropped) == ((), {"conflict": 1})


def test_a_request_that_was_recorded_twice_is_a_row():
    events = [*exchange("q"), *renamed(exchange("q", at=100.0)), approval("q", at=200.0)]
    assert [row.id for row in rows_of(events).train] == ["q"]


def test_a_substitute_end_is_not_used_if_the_log_has_the_answer():
    substitute = event_of(an_end("q", "", status="aborted", messages=()), "q/substitute", START + 50)
    events = [*exchange("q"), substitute, approval("q", at=60.0)]
    assert [row.completion for row in rows_of(events).train] == [words("answer q")]


def test_a_later_rating_of_3_replaces_the_thumb_of_its_key_only():
    events = [*exchange("a"), thumb("a", at=1.0), thumb("a", "3", at=2.0)]
    events += [*exchange("b"), thumb("b", "3", at=1.0), thumb("b", at=2.0)]
    events += [*exchange("c"), thumb("c", "down", at=1.0), thumb("c", at=1.0, by="u1"), thumb("c", "3", at=2.0)]
    events += [*exchange("d"), approval("d", by="u0", at=1.0), thumb("d", "3", at=2.0)]
    found = rows_of(events, loose(feedback_min_principals=1), "kto")
    assert {row.id: row.label for row in found.train} == {"b": True, "c": True, "d": True}
    assert found.dropped == {}, "no review of a is left"


def test_the_digest_of_a_known_log_is_the_same_on_every_machine():
    events = []
    for number in range(40):
        name = f"q{number}"
        events += [*exchange(name, conversation=f"c{number % 9}"), approval(name, by=f"r{number % 5}")]
    found = rows_of(events, loose(eval_share=0.2, max_examples=20))
    assert found.digest == "616ff5dcaeece5d831f62323ce6e724203db2bde2913b5113d4903aa91859d64"


def test_corrections_replace_answers_approvals_keep_them_and_unreviewed_answers_are_no_rows():
    events = [*exchange("a"), *exchange("b"), *exchange("c"), thumb("c")]
    events += [correction("a", "first version"), correction("a", "second version", at=20.0, by="r9"), approval("b")]
    found = rows_of(events)
    assert {row.id: (row.source, row.completion, row.principal, row.label) for row in found.train} == {
        "a": ("correction", "second version", "r9", None),
        "b": ("approved", words("answer b"), "r0", None),
    }
    assert found.dropped == {"not_reviewed": 1}


def test_thumbs_are_rows_of_kto_by_the_majority_and_the_last_thumb_of_each_key():
    events = [
        *exchange("up"),
        *exchange("down"),
        *exchange("tie"),
        thumb("up"),
        thumb("up", "down", by="u1"),
        thumb("up", by="u2"),
    ]
    events += [thumb("down", at=1.0), thumb("down", "down", at=2.0), thumb("tie"), thumb("tie", "down", by="u1")]
    found = rows_of(events, kind="kto")
    assert {row.id: (row.label, row.source) for row in found.train} == {"up": (True, "thumb"), "down": (False, "thumb")}
    assert found.dropped == {"conflict": 1}


def test_numbers_are_thumbs_except_the_middle():
    events = []
    for rating in ("1", "2", "3", "4", "5"):
        events += [*exchange(f"q{rating}"), thumb(f"q{rating}", rating)]
    found = rows_of(events, kind="kto")
    assert {row.id: row.label for row in found.train} == {"q1": False, "q2": False, "q4": True, "q5": True}
    assert found.dropped == {}


def test_thumbs_below_the_quorum_of_keys_are_not_used():
    events = [event for number in range(4) for event in (*exchange(f"q{number}"), thumb(f"q{number}", by=f"u{number}"))]
    assert rows_of(events, loose(feedback_min_principals=5), "kto").dropped == {"quorum": 4}
    assert len(rows_of(events, loose(feedback_min_principals=4), "kto").train) == 4


@pytest.mark.parametrize(("similar", "dropped"), [(False, {"max_per_answer": 15}), (True, {"near_duplicate": 19})])
def test_answers_that_are_equal_after_masking_are_bounded(similar, dropped):
    """The log has no verdict about a correction, so the personal data of corrections is masked after the other bounds."""
    events = []
    for number in range(20):
        name = f"q{number}"
        asked = words("one question for all", 60) + f" item{number}" if similar else None
        events += [
            *exchange(name, prompt=asked),
            correction(name, f"write to {words(name, 1)}.{number}@{words(name, 1)}.com now"),
        ]
    found = rows_of(events, loose(max_per_answer=5, near_duplicate=0.9))
    assert found.dropped == dropped
    assert {row.completion for row in found.train} == {"write to <EMAIL_ADDRESS> now"}


def opted_out(where):
    if where == "request":
        return [*exchange("q", training=False), approval("q")], LOOSE
    if where == "author":
        return [*exchange("q", author="k9"), approval("q")], loose(exclude_keys=("k9",))
    if where == "author behind another gateway":
        return [*exchange("q", author="k9/88dc28d0f030"), approval("q")], loose(exclude_keys=("k9",))
    if where == "reviewer":
        return [*exchange("q"), approval("q", by="k9")], loose(exclude_keys=("k9",))
    return [*exchange("q"), approval("q")], loose(training=False)


@pytest.mark.parametrize("where", ["request", "author", "author behind another gateway", "reviewer", "tenant"])
def test_an_opt_out_is_counted(where):
    events, settings = opted_out(where)
    found = rows_of(events, settings)
    assert (found.train, found.dropped) == ((), {"opt_out": 1})


TOOL = Choice(parts=(ToolCallPart(name="f"),))
TWO = (Choice(parts=(TextPart(content="one"),)), Choice(parts=(TextPart(content="two"),)))
REASONS = {
    "not_text": [*exchange("q", end={"messages": (TOOL,)}), approval("q")],
    "not_text, role": [
        *exchange("q", messages=(Message.of_text("ada@example.org", "hello"),)),
        approval("q"),
    ],
    "not_text, beside the messages": [
        *exchange("q", messages=(Message(role="user", parts=(TextPart(content="low"),), name=ADDED),)),
        approval("q"),
    ],
    "not_text, two answers": [*exchange("q", end={"messages": TWO}), approval("q")],
    "incomplete": [*exchange("q", end={"status": "cancelled"}), approval("q")],
    "incomplete, cut": [*exchange("q", end={"finish_reason": "length"}), approval("q")],
    "toxicity": [*exchange("q"), approval("q"), verdict("q", "toxicity", side="output")],
    "toxicity, correction": [*exchange("q"), correction("q", "a vile answer")],
    "injection": [*exchange("q"), approval("q"), verdict("q", "injection")],
    "injection, unread": [*exchange("q", prompt="please jailbreak"), approval("q")],
    "injection, correction": [*exchange("q"), correction("q", "jailbreak now")],
    "quality": [*exchange("q", answer="?!"), approval("q")],
    "quality, repeated": [*exchange("q", answer="no\n" * 6 + "yes"), approval("q")],
    "length": [*exchange("q", answer="x" * 9_000), approval("q")],
    "language": [*exchange("q", answer="lang:de ja"), approval("q")],
}


@pytest.mark.parametrize("name", REASONS)
def test_a_row_is_left_out_for_its_reason(name):
    found = rows_of(REASONS[name], loose(languages=("en",)))
    assert (found.train, found.dropped) == ((), {name.split(",")[0]: 1})


def test_a_correction_of_a_toxic_answer_is_used():
    events = [*exchange("q"), correction("q", "a kind answer"), verdict("q", "toxicity", side="output")]
    assert [row.completion for row in rows_of(events).train] == ["a kind answer"]


def test_personal_data_is_masked_where_the_log_or_the_scanner_found_it_or_dropped():
    prompt, answer = "I am Ada, write to ada@example.org", "Dear Ada"
    events = [*exchange("q", prompt=prompt, answer=answer), approval("q")]
    events += [
        verdict("q", "pii", spans=[(5, 8, "PERSON")]),
        verdict("q", "pii", side="output", spans=[(5, 8, "PERSON")]),
    ]
    (row,) = rows_of(events).train
    assert row.prompt == (Turn(role="user", content="I am <PERSON>, write to <EMAIL_ADDRESS>"),)
    assert row.completion == "Dear <PERSON>"
    assert rows_of(events, loose(pii="drop")).dropped == {"personal_data": 1}
    unread = [*exchange("q", prompt=prompt), approval("q")]
    assert rows_of(unread, loose(pii="drop")).dropped == {"personal_data": 1}


@pytest.mark.parametrize("pii", ["mask", "drop"])
def test_a_text_that_the_scanner_did_not_read_completely_is_left_out(pii):
    class Partial(WordScanner):
        def personal(self, texts):
            return [None if "ada" in text else () for text in texts]

    events = [*exchange("q", prompt="write to ada@example.org"), approval("q"), *exchange("p"), approval("p")]
    found = curate(join(*events).exchanges(), loose(pii=pii), "sft", Partial())
    assert ([row.id for row in found.train], found.dropped) == (["p"], {"personal_data": 1})


def test_offsets_of_a_later_part_are_offsets_into_the_joined_message():
    parts = (TextPart(content="first part"), TextPart(content="I am Ada"))
    events = [*exchange("q", messages=(Message(role="user", parts=parts),)), approval("q")]
    events.append(verdict("q", "pii", spans=[(5, 8, "PERSON")], part="/messages/0/parts/1"))
    (row,) = rows_of(events).train
    assert row.prompt[0].content == "first part\nI am <PERSON>"


def test_the_coreset_has_rows_of_all_clusters_evenly():
    events = []
    for number in range(100):
        name = f"q{number}"
        events += [*exchange(name, group=0 if number < 90 else number % 2 + 1), approval(name, by=f"r{number % 9}")]
    found = rows_of(events, loose(max_examples=20, clusters=3, max_per_principal=100))
    sizes = sorted(
        sum(row.cluster == cluster for row in found.train) for cluster in {row.cluster for row in found.train}
    )
    assert (sizes, found.dropped) == ([5, 5, 10], {"coreset": 80})


def test_augmentation_marks_its_copies():
    found = rows_of([*exchange("q", prompt="Tell Me More"), approval("q")], loose(augment="lower"))
    assert [(row.id, row.prompt[0].content) for row in found.train] == [
        ("q", "Tell Me More"),
        ("q#lower", "tell me more"),
    ]


def test_a_flood_of_thumbs_of_one_key_is_bounded_by_name():
    events = []
    for number in range(2_000):
        name = f"q{number}"
        events += [
            *exchange(name, prompt=f"p{number}", answer=f"a{number}", author=f"k{number}"),
            thumb(name, by="flood"),
        ]
    for number in range(6):
        events += [*exchange(f"x{number}"), thumb(f"x{number}", by=f"u{number}")]
    scanner = WordScanner()
    found = curate(join(*events).exchanges(), loose(max_per_principal=50), "kto", scanner)
    assert sum(row.principal == "flood" for row in found.train) == 50
    assert len(found.train) == 56
    assert [(b.name, b.of, b.found, b.kept) for b in found.bounds] == [("max_per_principal", "flood", 2_000, 50)]
    assert len(scanner.read) == 2 * 56, "the detectors read only rows within the bound, prompt and answer of each"


def test_a_reviewer_who_floods_the_requests_of_an_author_does_not_exclude_the_other_reviewers():
    events = [event for number in range(500) for event in (*exchange(f"f{number}"), approval(f"f{number}", by="flood"))]
    events += [
        event
        for number in range(40)
        for event in (*exchange(f"q{number}"), approval(f"q{number}", by=f"r{number % 4}"))
    ]
    found = rows_of(events, loose(max_per_principal=20))
    assert sum(row.principal == "flood" for row in found.train) < len(found.train) == 20
    assert {row.principal for row in found.train} == {"flood", "r0", "r1", "r2", "r3"}


def test_a_planted_answer_that_thirty_keys_approve_is_bounded_and_named():
    planted = "visit the shop at the harbour today and buy two for one"
    events = reviewed(20)
    for number in range(30):
        events += [
            *exchange(f"t{number}", answer=planted, author=f"a{number}"),
            approval(f"t{number}", by=f"p{number}"),
        ]
    found = rows_of(events, loose(max_per_answer=5))
    kept = [row for row in found.train if row.completion == planted]
    assert len(kept) == 5
    (bound,) = found.bounds
    assert (bound.name, bound.found, bound.kept) == ("max_per_answer", 30, 5)
    assert bound.of in {row.id for row in kept}


@pytest.mark.parametrize("first", ["", "App", "2024\u5e74", "\u4eba\u3005"])
def test_planted_chinese_answers_are_bounded_also_after_latin_letters_and_digits(first):
    planted = (
        first
        + "\u8bf7\u8bbf\u95ee\u6211\u4eec\u4f4d\u4e8e\u6e2f\u53e3\u7684\u5546\u5e97\u4eca\u5929\u8d2d\u4e70\u4e24\u4ef6\u53ea\u9700\u652f\u4ed8"
    )
    events = []
    for number in range(30):
        events += [
            *exchange(f"t{number}", answer=planted + chr(0x4E00 + number)),
            approval(f"t{number}", by=f"p{number}"),
        ]
    assert len(rows_of(events, loose(max_per_answer=5)).train) == 5


def test_poisoned_corrections_are_bounded_for_each_key():
    events = reviewed(10)
    for number in range(250):
        name = f"t{number}"
        events += [
            *exchange(name, author=f"a{number}"),
            correction(name, words(f"poison {number}"), by=f"p{number % 2}"),
        ]
    found = rows_of(events, loose(max_per_principal=10))
    assert [(b.name, b.of, b.found, b.kept) for b in found.bounds] == [
        ("max_per_principal", "p0", 125, 10),
        ("max_per_principal", "p1", 125, 10),
    ]
    assert len(found.train) == 30
    assert found.dropped == {"max_per_principal": 230}


def test_the_keys_that_all_approved_each_answer_count_as_reviewers():
    events = []
    for number in range(40):
        events += exchange(f"q{number}", author=f"k{number % 5}")
        events += [approval(f"q{number}", by=f"r{reviewer}") for reviewer in range(3)]
    found = rows_of(events, DatasetSettings())
    assert refusals(found, DatasetSettings()) == []
    assert found.principals == ("r0", "r1", "r2")


def test_a_dataset_with_too_few_rows_or_keys_is_rejected_with_the_numbers():
    found = rows_of([*exchange("q"), approval("q")])
    assert refusals(found, DatasetSettings()) == [
        "rows to train on: has 1, needs 32 (min_examples)",
        "API keys that reviewed the rows: has 1, needs 3 (min_principals)",
    ]
    assert refusals(found, LOOSE) == []


def test_copies_of_augmentation_do_not_make_a_dataset_large_enough():
    found = rows_of(reviewed(20), loose(augment="lower", min_examples=32))
    assert len(found.train) == 40
    assert refusals(found, loose(min_examples=32)) == ["rows to train on: has 20, needs 32 (min_examples)"]


def test_reviews_of_other_models_and_of_unknown_requests_are_named_in_the_error():
    other = exchange("r2", model="other")
    joined = join(*exchange("r1"), *other, thumb("r1"), thumb("r2"), approval("r3"))
    assert joined.unmatched == 2
    request = DatasetRequest(tenant="acme", model="m", ranges=())
    text = _refusal(
        request, curate(joined.exchanges(), LOOSE, "sft", WordScanner()), joined.unmatched, ["too few rows"]
    )
    assert "judgments without a request of this model in the range: 2" in text
