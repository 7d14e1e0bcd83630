"""The token head of the PII detector: tokens, shapes, rows and spans. No test needs trained weights."""

import gzip
import hashlib
import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from detectors.base import Score, Span
from detectors.evaluate.entity_sets import (
    BTC,
    PRESIDIO,
    WIKIGOLD,
    WNUT_TRAIN,
    btc_parts,
    is_held_out,
    social_set,
)
from detectors.evaluate.readers import T0, presidio
from detectors.evaluate.set_metrics import set_metrics
from detectors.models.minilm import load_tokenizer
from detectors.pii.entities import _decode
from detectors.pii.token_head import CLASSES, KINDS, REACH, TOKENS, WIDTH, Loaded, TokenHead
from detectors.pii.tokens import encode
from detectors.train import entity_texts as entity_texts_module
from detectors.train import token_head_trainer
from detectors.train.entity_texts import SOURCES, entity_texts
from detectors.train.pii_slots import Slots
from detectors.train.pii_texts import _SLOT, Labelled, _filled, code_texts, joined, varied
from detectors.train.templates import read_source
from detectors.train.token_head_trainer import allowed_classes, train

SENTENCES = read_source("pii_sentences").templates
TEMPLATES, NEGATIVES = SENTENCES["with_entities"], SENTENCES["without_entities"]

SHAPE_CASES = [
    ("Anna lives", [("Anna", 2, 2), ("lives", 1, 1)]),
    ("IBM\nRoom 12", [("IBM", 3, 2), ("Room", 2, 2), ("12", 5, 1)]),
    ("o'Neil!", [("o", 1, 2), ("'", 0, 0), ("Neil", 2, 0), ("!", 0, 0)]),
]


@pytest.fixture(scope="module")
def tokenizer():
    return load_tokenizer()


@pytest.fixture(scope="module")
def head():
    torch.manual_seed(0)
    model = TokenHead().eval()
    return Loaded(model, torch.randn(30522, WIDTH))


@pytest.fixture
def few_values(monkeypatch):
    """Slots draw a value from 20 instead of 250."""
    monkeypatch.setattr("detectors.train.pii_slots.POOL", 20)


@pytest.fixture(scope="module")
def code():
    """Pieces of code with the seed 5: one scan of the installed packages for all runs."""
    return code_texts(5)


@pytest.mark.parametrize(("text", "expected"), SHAPE_CASES)
def test_a_token_has_the_shape_of_its_case_and_of_the_character_before_it(tokenizer, text, expected):
    tokens = encode(tokenizer, [text])[0]
    found = [
        (text[a:b], shape // 3, shape % 3)
        for a, b, shape in zip(tokens.starts, tokens.ends, tokens.shapes.tolist(), strict=True)
    ]
    assert found == expected


def test_a_very_long_word_is_cut_and_its_offsets_are_those_of_the_text(tokenizer):
    text = "x" * 300 + " Anna " + "y" * 200 + "John"
    tokens = encode(tokenizer, [text])[0]
    assert "".join(text[a:b] for a, b in zip(tokens.starts, tokens.ends, strict=True)) == text.replace(" ", "")


def test_texts_in_one_row_do_not_affect_each_other(head):
    rng = np.random.default_rng(0)
    ids = [rng.integers(1000, 20000, size).tolist() for size in (5, 1, 40, TOKENS + 50, 3)]
    shapes = [rng.integers(0, 18, len(one)) for one in ids]
    together = head.probabilities(ids, shapes)
    alone = [head.probabilities([one], [shape])[0] for one, shape in zip(ids, shapes, strict=True)]
    assert all(np.allclose(a, b, atol=1e-5) for a, b in zip(together, alone, strict=True))


def test_a_part_with_enough_context_has_the_probabilities_of_the_whole_text(head):
    rng = np.random.default_rng(1)
    ids, shapes = rng.integers(1000, 20000, TOKENS + 300).tolist(), rng.integers(0, 18, TOKENS + 300)
    middle = slice(TOKENS - 50, TOKENS + 50)
    wide = slice(TOKENS - 50 - REACH, TOKENS + 50 + REACH)
    whole = head.probabilities([ids], [shapes])[0][middle]
    part = head.probabilities([ids[wide]], [shapes[wide]])[0][REACH:-REACH]
    assert np.allclose(whole, part, atol=1e-5)


def _labels(tokens, spans):
    return allowed_classes(tokens, Labelled("", spans)).argmax(1)


def _scores(labels):
    scores = np.full((len(labels), CLASSES), 0.01, dtype=np.float32)
    scores[np.arange(len(labels)), labels] = 0.9
    return scores


def test_words_become_spans_and_sentence_marks_are_left_out(tokenizer):
    text = "Mr. Jonathan Smythe-Jones, Oslo."
    tokens = encode(tokenizer, [text])[0]
    marked = ((0, 3, "TITLE"), (4, 26, "PERSON"), (27, 32, "LOCATION"))
    found = _decode(text, tokens, _scores(_labels(tokens, marked)))
    assert [(e.kind, text[e.start : e.end]) for e in found] == [
        ("TITLE", "Mr."),
        ("PERSON", "Jonathan Smythe-Jones"),
        ("LOCATION", "Oslo"),
    ]


def test_two_adjacent_entities_of_one_kind_are_two_spans(tokenizer):
    text = "Anna Bert Carl"
    tokens = encode(tokenizer, [text])[0]
    marked = ((0, 4, "PERSON"), (5, 9, "PERSON"), (10, 14, "PERSON"))
    assert len(_decode(text, tokens, _scores(_labels(tokens, marked)))) == 3


def test_a_label_with_several_kinds_allows_the_classes_of_all(tokenizer):
    text = "Dr Lee is back"
    tokens = encode(tokenizer, [text])[0]
    allowed = allowed_classes(tokens, Labelled(text, ((0, 6, "PERSON|TITLE"), (7, 9, "|NRP")), ("AGE",)))
    person, title, nationality, age = (1 + 2 * KINDS.index(kind) for kind in ("PERSON", "TITLE", "NRP", "AGE"))
    assert [set(np.flatnonzero(row)) for row in allowed] == [
        {person, title},
        {person + 1, title + 1},
        {0, nationality},
        {0, age, age + 1},
    ]


@pytest.mark.usefixtures("few_values")
def test_every_slot_of_every_sentence_can_be_filled():
    slots = Slots(0)
    assert len(TEMPLATES) >= 60
    assert len(slots.locales) >= 30
    for template in (*TEMPLATES, *NEGATIVES):
        example = joined(_filled(slots, template))
        assert "{" not in example.text.replace("{{", "") or example.text.startswith(("{", '{"'))
        assert all(kind in KINDS and 0 <= a < b <= len(example.text) for a, b, kind in example.spans)
        assert template in TEMPLATES or not example.spans


def test_sentences_are_a_function_of_the_seed():
    def made(seed):
        slots = Slots(seed)
        return [joined(varied(_filled(slots, template), slots.rng)) for template in TEMPLATES[:20]]

    assert made(3) == made(3) != made(4)


def test_the_slots_of_every_template_are_marked_in_the_text():
    assert _SLOT.findall('{{"name": "{name}"}}') == ["name"]


CONLL = {
    WIKIGOLD: "Anna I-PER\nmet O\nthe O\nOslo I-ORG\nBank I-ORG\n\n",
    WNUT_TRAIN: "@anna\tO\nlikes\tO\nLa\tB-creative-work\nLa\tI-creative-work\nLand\tI-creative-work\n.\tO\n",
    BTC: "@\tB-PER\nanna\tB-PER\nin\tO\n#\tO\nOslo\tB-LOC\n\n" * 1001,
}


def _data(root):
    for folder in ("drift", "hallucination", "traffic", "pii", "ordinary"):
        (root / folder).mkdir()
    for file, text in CONLL.items():
        (root / file).write_bytes(gzip.compress(text.encode()))
    span = {"start_position": 0, "end_position": 4, "entity_type": "PERSON"}
    records = [{"full_text": f"Anna {n}", "masked": f"{{{{first_name}}}} {n}", "spans": [span]} for n in range(9)]
    (root / PRESIDIO).write_bytes(gzip.compress(json.dumps(records).encode()))
    tasks = [{"template": f"task{n}_x", "prompt": f"Is {n} a prime?"} for n in range(9)]
    (root / T0).write_bytes(gzip.compress("\n".join(map(json.dumps, tasks)).encode()))
    rows = [[f"how do i cook {n} eggs", "cook"] for n in range(30)]
    names = ("train", "val", "test", "oos_train", "oos_test")
    (root / "drift/clinc_data_full.json.gz").write_bytes(gzip.compress(json.dumps(dict.fromkeys(names, rows)).encode()))
    line = {"user_query": "what is a proof", "chatgpt_response": "A chain of reasons."}
    (root / "hallucination/halueval_general.jsonl.gz").write_bytes(gzip.compress(json.dumps(line).encode()))
    (root / "traffic/mtbench_prompts.jsonl").write_text(json.dumps({"turns": ["a", "b"]}) + "\n")
    return root


def test_each_source_marks_the_kinds_that_it_labels(tmp_path):
    root = _data(tmp_path)
    found = {}
    for seed in range(6):
        for example in entity_texts(root, seed):
            marks = tuple((example.text[a:b].lower(), kind) for a, b, kind in example.spans)
            found.setdefault(example.text.lower(), set()).add((marks, example.open))
    by_text = {text: {marks for marks, _ in every} for text, every in found.items()}
    assert by_text["anna met the oslo bank"] == {(("anna", "PERSON"), ("oslo bank", "ORGANIZATION"))}
    assert by_text["@ anna in # oslo"] == {(("anna", "PERSON"), ("oslo", "LOCATION|ADDRESS"))}
    # A mention in the usual case can have any class.
    assert {marks[0][0] for marks in by_text["@anna in #oslo"]} == {"anna"}
    assert not any(marks[0][1] == "PERSON" for marks in by_text["@anna in #oslo"])
    assert by_text["@anna likes la la land ."] == {(("la la land", "|ORGANIZATION"),)}
    assert all("DATE_TIME" in kinds for every in found.values() for _, kinds in every)


def test_held_out_texts_are_no_training_texts(tmp_path, monkeypatch):
    root = _data(tmp_path)
    texts = {example.text for example in entity_texts(root, 0)}
    held_out = {text for text, _ in presidio(root / PRESIDIO, is_held_out)}
    every = {text for text, _ in presidio(root / PRESIDIO)}
    assert held_out
    assert texts & every == every - held_out != set()
    assert len(btc_parts(root / BTC)[0]) == 1
    (case,) = social_set("btc", btc_parts(root / BTC)[0]).cases
    assert [(span.type, case.text[span.start : span.end]) for span in case.spans] == [
        ("PERSON", "anna"),
        ("LOCATION", "Oslo"),
    ]
    others = {file: read for file, read in SOURCES.items() if file not in {BTC, WNUT_TRAIN}}
    monkeypatch.setattr(entity_texts_module, "SOURCES", others)
    assert not any(example.open == () or "@" in example.text for example in entity_texts(root, 0))


@pytest.fixture
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)  # with more threads the order of sums changes, and the optimiser amplifies the difference
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("_one_thread", "few_values")
def test_a_resumed_run_ends_with_the_same_weights(tmp_path, monkeypatch, code):
    monkeypatch.setattr(token_head_trainer, "code_texts", lambda _: code)
    data = _data(tmp_path)
    for name, value in {"POSITIVES": 600, "NEGATIVES": 80, "CHECKPOINT_EVERY": 2}.items():
        monkeypatch.setattr(token_head_trainer, name, value)
    whole = []
    train(data, tmp_path / "whole.safetensors", 5, log=whole.append, share=0.1)
    assert int(whole[0].split(" epochs, ")[1].split()[0]) > 5, whole[0]  # steps: the cut run has some left after step 2

    def cut(line):
        if line.startswith("step 2/"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(data, tmp_path / "cut.safetensors", 5, log=cut, share=0.1)
    resumed = []
    train(data, tmp_path / "cut.safetensors", 5, log=resumed.append, share=0.1)
    assert "resumes after step 2" in resumed
    one, other = load_file(tmp_path / "whole.safetensors"), load_file(tmp_path / "cut.safetensors")
    assert all(torch.allclose(one[name].float(), other[name].float(), atol=1e-6) for name in one)
    record = json.loads((tmp_path / "whole.json").read_text())
    assert record["sha256"] == hashlib.sha256((tmp_path / "whole.safetensors").read_bytes()).hexdigest()
    assert set(record["data"]) == {"drift/clinc_data_full.json.gz", "hallucination/halueval_general.jsonl.gz", *SOURCES}
    assert not (tmp_path / "cut.checkpoint").exists()


@pytest.mark.usefixtures("few_values")
def test_a_share_shortens_the_run_by_texts_of_all_kinds(tmp_path, monkeypatch, code):
    monkeypatch.setattr(token_head_trainer, "code_texts", lambda _: code)
    data, counts = _data(tmp_path), []
    for name, value in {"POSITIVES": 60, "NEGATIVES": 8, "EPOCHS": 1}.items():
        monkeypatch.setattr(token_head_trainer, name, value)

    def planned(line):
        counts.append(int(line.split(" texts in ")[0]))
        raise KeyboardInterrupt

    for share in (1.0, 0.1):
        with pytest.raises(KeyboardInterrupt):
            train(data, tmp_path / "a.safetensors", 5, log=planned, share=share)
    assert counts[1] == pytest.approx(counts[0] / 10, rel=0.1)


def test_a_set_of_persons_and_places_ignores_spans_of_other_types():
    one = social_set("posts", [[("Anna", "B-PER"), ("at", "O"), ("Oslo", "B-LOC")]])
    (case,) = one.cases
    other = Span(start=5, end=7, type="ORGANIZATION", score=0.9)
    row = set_metrics(one, {case.input: Score(score=0.2, label="ok", flagged=False, spans=(*case.spans, other))})
    assert (row["typed"]["precision"], row["typed"]["recall"]) == (1.0, 1.0)
