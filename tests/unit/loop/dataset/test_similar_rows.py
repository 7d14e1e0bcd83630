"""Duplicates and near duplicates in curation: of other rows, of the gate's task set, and of held-out rows."""

import pytest
from support.dataset_log import approval, correction, exchange, loose, rows_of, verdict, words

from stream.wire import Message


def test_exact_and_near_duplicates_are_left_out_and_a_correction_is_kept_before_an_approval():
    text, answer = words("a long prompt", 40), words("a long answer", 40)
    events = [
        *exchange("a", prompt=text, answer=answer),
        approval("a"),
        *exchange("b", prompt=text),
        correction("b", answer),
    ]
    events += [*exchange("c", prompt=f"{text} please", answer=answer), approval("c")]
    found = rows_of(events)
    assert [row.id for row in found.train] == ["b"]
    assert found.dropped == {"duplicate": 1, "near_duplicate": 1}


def test_texts_that_resemble_the_task_set_are_left_out():
    text = words("a task", 40)
    events = [*exchange("a", prompt=f"{text} now"), approval("a"), *exchange("b"), approval("b")]
    found = rows_of(events, held_out=[text])
    assert ([row.id for row in found.train], found.dropped) == (["b"], {"held_out": 1})


def test_a_text_that_resembles_only_the_second_of_two_similar_tasks_is_left_out():
    first = " ".join(f"w{number}" for number in range(62))
    second = " ".join([first, *(f"x{number}" for number in range(8))])
    asked = " ".join([second, *(f"y{number}" for number in range(14))])
    found = rows_of([*exchange("q", prompt=asked), approval("q")], held_out=[first, second])
    assert (found.train, found.dropped) == ((), {"held_out": 1})


def test_a_prompt_of_the_task_set_is_left_out_also_if_masking_would_change_it():
    task = "What is the capital of France?"
    events = [*exchange("q", prompt=task), approval("q"), verdict("q", "pii", spans=[(23, 29, "LOCATION")])]
    found = rows_of(events, held_out=[task])
    assert (found.train, found.dropped) == ((), {"held_out": 1})


def test_conversations_and_similar_prompts_are_not_divided_between_the_splits():
    events, text = [], words("a shared prompt", 40)
    for number in range(60):
        name = f"q{number}"
        prompt = f"{text} {number}" if number % 10 == 0 else None
        events += [*exchange(name, prompt=prompt, conversation=f"c{number % 20}"), approval(name, by=f"r{number % 7}")]
    found = rows_of(events, loose(eval_share=0.2, max_per_principal=100))
    train, held = ({row.conversation for row in rows} for rows in (found.train, found.eval))
    assert len(found.train) + len(found.eval) == 60
    assert 6 <= len(found.eval) <= 12
    assert not train & held


@pytest.mark.parametrize("count", [0, 100, 400])
def test_a_system_prompt_that_all_requests_share_makes_no_near_duplicates(count):
    rules = (Message.of_text("system", words("the rules", count)),) if count else ()
    events = []
    for number in range(60):
        name = f"q{number}"
        messages = (*rules, Message.of_text("user", words(f"question {name}", 12)))
        events += [*exchange(name, messages=messages, answer=words(f"answer {name}", 25)), approval(name)]
    found = rows_of(events, loose(eval_share=0.1, max_per_principal=100))
    assert (len(found.train), len(found.eval), found.dropped) == (54, 6, {})
