"""Rows of the promoted version's dataset that are replayed in a new dataset."""

from collections import Counter

import pytest
from support.dataset_log import (
    approval,
    correction,
    exchange,
    loose,
    reviewed,
    rows_of,
    thumb,
    verdict,
    words,
)

from stream.loop.dataset.rows import Row, Turn


def test_old_rows_have_their_share_and_are_marked():
    old = rows_of([event for n in range(30) for event in (*exchange(f"old{n}"), approval(f"old{n}"))]).train
    found = rows_of(reviewed(40), loose(replay_share=0.2, max_per_principal=100), old=old)
    replayed = [row for row in found.train if row.source == "replay"]
    assert (len(replayed), len(found.train)) == (10, 50)
    assert {row.id for row in replayed} <= {row.id for row in old}
    bounded = rows_of(reviewed(40), loose(replay_share=0.2, max_examples=20, max_per_principal=100), old=old)
    assert (len(bounded.train), sum(row.source == "replay" for row in bounded.train)) == (20, 4)


def old_row(name, *, prompt=None, principal="r1", conversation="", completion=""):
    """Return a row of an earlier dataset. The log of the new dataset does not contain its request."""
    prompt = (Turn(role="user", content=words(f"old {name}")),) if prompt is None else prompt
    return Row(
        id=name, kind="sft", prompt=prompt, completion=completion or words(f"old answer {name}"), label=None, source="approved",
        conversation=conversation or name, cluster=0, principal=principal,
    )  # fmt: skip


def replayed(events, old, *, old_authors=None, held_out=(), **settings):
    changed = loose(**{"replay_share": 0.3, "max_per_principal": 100} | settings)
    found = rows_of(events, changed, old=old, old_authors=old_authors or {}, held_out=held_out)
    return {row.id for row in found.train if row.source == "replay"}


def test_an_excluded_key_is_excluded_from_old_rows_as_author_and_as_reviewer():
    old = [old_row("asked"), old_row("reviewed", principal="k9"), old_row("unknown"), old_row("other")]
    old.append(old_row("behind another gateway"))
    authors = {"asked": "k9", "reviewed": "k0", "other": "k0", "behind another gateway": "k9/88dc28d0f030"}
    assert replayed(reviewed(30), old, old_authors=authors) == {*authors, "unknown"}
    assert replayed(reviewed(30), old, old_authors=authors, exclude_keys=("k9",)) == {"other"}


def test_the_authors_of_the_rows_to_train_on_are_in_the_result():
    events = [*reviewed(30, author="k1"), *exchange("vile", answer="a vile answer"), approval("vile")]
    settings = loose(replay_share=0.3, augment="lower", max_per_principal=100, max_examples=20)
    old = [old_row("o1"), old_row("o2")]
    found = rows_of(events, settings, old=old, old_authors={"o1": "k7", "unused": "k8"})
    chosen = {row.id for row in found.train if "#" not in row.id}
    assert {"o1", "o2"} < chosen
    assert found.authors == dict.fromkeys(sorted(chosen - {"o1", "o2"}), "k1") | {"o1": "k7"}


@pytest.mark.parametrize(
    "left_out",
    [
        [*exchange("old"), approval("old"), verdict("old", "toxicity")],
        [*exchange("old", training=False), approval("old")],
        [*exchange("old", answer="?!"), approval("old")],
        [*exchange("old"), thumb("old")],
    ],
)
def test_an_old_row_of_a_request_that_is_left_out_is_not_replayed(left_out):
    found = rows_of([*reviewed(30), *left_out], loose(replay_share=0.3, max_per_principal=100), old=[old_row("old")])
    assert "old" not in {row.id for row in found.train}
    assert sum(found.dropped.values()) == 1


def test_old_rows_that_resemble_the_task_set_are_not_replayed():
    task = words("a task", 40)
    rules, answer = Turn(role="system", content=words("rules", 40)), Turn(role="assistant", content="yes")
    old = [
        old_row("equal", prompt=(Turn(role="user", content=f"{task} now"),)),
        old_row("last", prompt=(rules, Turn(role="user", content=task))),
        old_row("first", prompt=(rules, Turn(role="user", content=task), answer, Turn(role="user", content="go on"))),
        old_row("other"),
    ]
    assert replayed(reviewed(30), old, held_out=[task]) == {"other"}


def test_an_old_row_with_placeholders_is_compared_with_the_masked_task_set():
    text = "write to {} about the delivery of my order today please"
    old = [old_row("masked", prompt=(Turn(role="user", content=text.format("<EMAIL_ADDRESS>")),)), old_row("other")]
    assert replayed(reviewed(30), old, held_out=[text.format("ada@example.org")]) == {"other"}


def test_a_conversation_is_not_divided_between_old_rows_and_the_held_out_rows():
    held = rows_of(reviewed(30), loose(eval_share=0.2, max_per_principal=100)).eval[0]
    old = [old_row("old", conversation=held.conversation), old_row("other")]
    assert replayed(reviewed(30), old, eval_share=0.2) == {"other"}


def test_a_share_of_old_rows_that_rounds_to_one_leaves_new_rows():
    assert replayed(reviewed(30), [old_row("old")], replay_share=0.9996) == {"old"}


@pytest.mark.parametrize(
    ("completion", "settings"),
    [
        ("a vile answer", {}),
        ("jailbreak now", {}),
        ("?!", {}),
        ("lang:de ja", {"languages": ("en",)}),
        ("write to <EMAIL_ADDRESS> today", {"pii": "drop"}),
        ("write to ada@example.org today", {"pii": "drop"}),
    ],
)
def test_an_old_row_that_would_be_left_out_as_a_new_row_is_not_replayed(completion, settings):
    old = [old_row("bad", completion=completion), old_row("other")]
    assert replayed(reviewed(30), old, **settings) == {"other"}


def test_personal_data_that_only_the_present_detectors_find_is_masked_in_old_rows():
    found = rows_of(reviewed(9), loose(replay_share=0.3), old=[old_row("old", completion="ask ada@example.org today")])
    assert {row.completion for row in found.train if row.id == "old"} == {"ask <EMAIL_ADDRESS> today"}


def test_an_old_answer_to_the_question_of_a_new_row_is_not_replayed():
    question = words("a question", 12)
    old = [old_row("old", prompt=(Turn(role="user", content=question),)), old_row("other")]
    assert replayed([*reviewed(30), *exchange("new", prompt=question), correction("new", "At 9.")], old) == {"other"}


def test_the_bounds_count_new_and_old_rows_together_and_new_rows_come_first():
    new = [event for n in range(40) for event in (*exchange(f"n{n}", author=f"a{n}"), approval(f"n{n}", by="one"))]
    new += [event for n in range(60) for event in (*exchange(f"m{n}", author="app"), approval(f"m{n}", by=f"r{n}"))]
    planted = words("planted")
    new += [event for n in range(3) for event in (*exchange(f"p{n}", author=f"b{n}"), correction(f"p{n}", planted))]
    old = [old_row(f"one{n}", principal="one") for n in range(30)]
    old += [old_row(f"app{n}", principal=f"s{n}") for n in range(30)]
    old += [old_row(f"planted{n}", principal=f"t{n}", completion=planted) for n in range(30)]
    authors = {row.id: "app" if row.id.startswith("app") else f"c {row.id}" for row in old}
    bounds = {"max_per_principal": 50, "max_per_answer": 5}
    found = rows_of(new, loose(replay_share=0.5, **bounds), old=old, old_authors=authors)
    assert sum(row.source != "replay" for row in found.train) == 40 + 50 + 3
    assert Counter(row.principal for row in found.train)["one"] == 50
    assert Counter(found.authors.values())["app"] == 50
    assert Counter(row.completion for row in found.train)[planted] == 5
    assert {bound.of for bound in found.bounds} == {"app"}, "only bounds that left new rows out are reported"
