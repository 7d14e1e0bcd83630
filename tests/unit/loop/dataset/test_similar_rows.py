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


@pytest.mark.parametrize("number", range(8))
@pytest.mark.parametrize("answer", ["The office opens at {}.", f"{words('opening hours', 40)} {{}}"])
def test_the_newest_of_several_corrections_of_one_prompt_is_kept(number, answer):
    prompt = "Please tell me when the office opens on monday morning and where I can park"
    events = []
    for at, hour in enumerate((9, 8, 9, 10)):
        name = f"q{number}{at}"
        events += [*exchange(name, prompt=prompt, at=at), correction(name, answer.format(hour), at=100.0 + at)]
    found = rows_of(events)
    assert [row.completion for row in found.train] == [answer.format(10)]
    assert sum(found.dropped.values()) == 3


def test_a_newer_correction_replaces_no_answer_to_another_prompt_and_no_approved_answer():
    rules = [(Message.of_text("system", rule), Message.of_text("user", "When?")) for rule in ("a rule", "another rule")]
    events = [*exchange("a", messages=rules[0]), correction("a", "At 8."), *exchange("b", messages=rules[1])]
    events += [correction("b", "At 9.", at=20.0), *exchange("c", messages=rules[0], answer="At eight."), approval("c")]
    assert {row.id for row in rows_of(events).train} == {"a", "b", "c"}


def test_newer_corrections_of_one_key_beyond_its_bound_replace_no_rows():
    events = []
    for number in range(20):
        prompt = words(f"prompt {number}")
        events += [
            *exchange(f"q{number}", prompt=prompt, author=f"a{number}"),
            correction(f"q{number}", words(number), by=f"r{number % 4}"),
        ]
        events += [
            *exchange(f"x{number}", prompt=prompt, author=f"b{number}"),
            correction(f"x{number}", words(f"x{number}"), by="x", at=50.0),
        ]
    found = rows_of(events, loose(max_per_principal=5, max_per_answer=100))
    assert len(found.train) == 20


@pytest.mark.parametrize("apart", [False, True])
def test_different_questions_about_one_long_text_are_no_near_duplicates(apart):
    text, events = words("handbook", 120), []
    questions = {"Who is the director?": "Ada.", "When is the office closed?": "On Sundays.", "How many rooms?": "42."}
    for number, (question, answer) in enumerate(questions.items()):
        messages = [Message.of_text("user", part) for part in ([text, question] if apart else [f"{text} {question}"])]
        events += [
            *exchange(f"q{number}", messages=tuple(messages)),
            correction(f"q{number}", "Yes." if apart else answer),
        ]
    assert len(rows_of(events).train) == 3


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
