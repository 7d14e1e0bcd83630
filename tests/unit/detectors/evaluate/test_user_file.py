"""Labelled files of the user: every format, and errors with the value and the allowed values."""

import gzip
import json

import datasets
import pytest

from detectors.base import Span
from detectors.errors import DataError
from detectors.evaluate.user_file import parse_columns, read_cases

LABEL, SPANS = "text=t,label=l", "text=t,spans=s"


def write(folder, name, content):
    path = folder / name
    data = content if isinstance(content, bytes) else content.encode()
    path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
    return path


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", 't,l\n"one, two",1\nthree,0\n'),
        ("a.csv.gz", 't,l\n"one, two",TRUE\nthree,no\n'),
        ("a.CSV", '\ufefft,l\r\n"one, two",yes\r\nthree,0.0\r\n'),
        ("a.tsv", "t\tl\none, two\t1\nthree\t0\n"),
        ("a.json", '[{"t": "one, two", "l": true}, {"t": "three", "l": false}]'),
        ("a.jsonl", '{"t": "one, two", "l": 1}\n\n{"t": "three", "l": 0}\n'),
        ("v1.2.jsonl.gz", '{"t": "one, two", "l": "1"}\n{"t": "three", "l": "0"}'),
    ],
)
def test_all_formats_are_read_as_the_same_rows(tmp_path, name, content):
    cases = read_cases(write(tmp_path, name, content), parse_columns(LABEL))
    assert [(case.text, case.label) for case in cases] == [("one, two", True), ("three", False)]


def test_a_line_break_inside_a_field_is_kept(tmp_path):
    cases = read_cases(write(tmp_path, "a.csv", 't,l\n"one\n\ntwo\u2028three",1\n'), parse_columns(LABEL))
    assert [case.text for case in cases] == ["one\n\ntwo\u2028three"]
    cases = read_cases(write(tmp_path, "a.jsonl", '{"t": "one\u2028two", "l": 1}\r\n'), parse_columns(LABEL))
    assert [case.text for case in cases] == ["one\u2028two"]
    cases = read_cases(write(tmp_path, "a.csv", "t,l\none\u2028two,1\n"), parse_columns(LABEL))
    assert [case.text for case in cases] == ["one\u2028two"]


def test_half_a_surrogate_pair_in_a_group_or_a_type_is_replaced_because_nothing_can_print_it(tmp_path):
    row = json.dumps({"t": "Anna", "f": ["\ud800x"], "s": [{"start": 0, "end": 4, "type": "\ud800"}]})
    (case,) = read_cases(write(tmp_path, "a.jsonl", row), parse_columns(f"{SPANS},functionality=f"))
    assert case.groups == {"functionality": ("\ufffdx",)}
    assert [span.type for span in case.spans] == ["\ufffd"]


def test_only_the_given_labels_are_positive(tmp_path):
    path = write(tmp_path, "a.csv", "t,l\na,hate\nb,neutral\nc,threat\nd,1\n")
    cases = read_cases(path, parse_columns(LABEL), ["hate", "threat"])
    assert [case.label for case in cases] == [True, False, True, False]


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", "t,l\na,hate\nb,\n"),
        ("a.csv", "t,l\na,hate\nb\n"),
        ("a.jsonl", '{"t": "a", "l": "hate"}\n{"t": "b", "l": null}\n'),
        ("a.jsonl", '{"t": "a", "l": "hate"}\n{"t": "b", "l": NaN}\n'),
    ],
)
def test_a_missing_label_is_not_read_as_negative(tmp_path, name, content):
    with pytest.raises(DataError, match="row 2 has no label in column 'l': remove the row, or write a label"):
        read_cases(write(tmp_path, name, content), parse_columns(LABEL), ["hate"])


def test_a_row_can_have_a_group_or_a_list_of_groups(tmp_path):
    path = write(tmp_path, "a.jsonl", '{"t": "x", "l": 1, "f": "slur", "k": ["hate", "threat"]}')
    (case,) = read_cases(path, parse_columns("text=t,label=l,functionality=f,type=k"))
    assert case.groups == {"functionality": ("slur",), "type": ("hate", "threat")}


def test_a_prompt_is_a_question_or_the_turns_of_a_chat(tmp_path):
    rows = [
        {"t": "a", "l": 1, "p": "Why?"},
        {"t": "b", "l": 0, "p": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}]},
        {"t": "c", "l": 0, "p": None},
    ]
    path = write(tmp_path, "a.json", json.dumps(rows))
    cases = read_cases(path, parse_columns("text=t,label=l,prompt=p"))
    assert [[(turn.role, turn.content) for turn in case.prompt] for case in cases] == [
        [("user", "Why?")],
        [("system", "Be brief."), ("user", "Why?")],
        [],
    ]


@pytest.mark.parametrize("names", [("start", "end", "type"), ("start_position", "end_position", "entity_type")])
def test_spans_are_lists_or_json_text_in_csv(tmp_path, names):
    spans = json.dumps([dict(zip(names, (0, 4, "PERSON"), strict=True))])
    in_csv = write(tmp_path, "a.csv", 't,s\nAnna,"' + spans.replace('"', '""') + '"\nno one,\n')
    in_json = write(tmp_path, "a.json", f'[{{"t": "Anna", "s": {spans}}}, {{"t": "no one", "s": []}}]')
    for path in (in_csv, in_json):
        cases = read_cases(path, parse_columns(SPANS))
        assert [case.spans for case in cases] == [(Span(start=0, end=4, type="PERSON", score=1.0),), ()]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ("", "'' is not a role=column"),
        ("text", "'text' is not a role=column"),
        ("text=", "'text=' is not a role=column"),
        ("txt=a,label=b", "'txt' is not a role; the roles are text, prompt, label, spans, functionality, type"),
        ("text=a,text=b,label=c", "text is both 'a' and 'b'"),
        ("label=b", "names no text"),
        ("text=a,type=b", "neither label nor spans"),
    ],
)
def test_invalid_columns_are_errors(columns, message):
    with pytest.raises(DataError, match=message):
        parse_columns(columns)


def spans_of(value):
    return json.dumps({"t": "Anna", "s": value})


@pytest.mark.parametrize(
    ("name", "content", "columns", "message"),
    [
        ("a.txt", "x", LABEL, "ends in .txt; expected .csv, .tsv, .json or .jsonl"),
        ("a.csv", "t,label\na,1\n", LABEL, "row 1 has no column 'l' .label.; its columns are 't', 'label'"),
        ("a.csv", "t,l\n", LABEL, "no rows"),
        ("a.csv", "t,l\na,1\nb,hate\n", LABEL, "row 2 has the label 'hate'.* --positive hate"),
        ("a.csv", "t,l\na\n", LABEL, "row 1 has no label in column 'l'"),
        ("a.csv", "t,l\nhello, you,hateful\n", LABEL, "row 1 has 3 fields, the header 2: .* ',' in double quotes"),
        ("a.csv", b"t,l\n\xff,1\n", LABEL, "byte 4 is not UTF-8"),
        ("a.csv", 't,l\na,1\n"b,1\nc,0\n', LABEL, "row 2 is not CSV .unexpected end of data.: .*double quote"),
        ("a.csv", 't,l\n"b" c,1\n', LABEL, "row 1 is not CSV .*double quote"),
        ("a.tsv", 'l\tt\n0\t"a\n1\tb "c" d\n0\te\n', "text=t,label=l", "row 1 is not CSV .*double quote"),
        ("a.tsv", 't\tl\n"a\t1\nb\t0\nc"\t1\n', LABEL, "row 1 has a field with a tab and a line break.*double quote"),
        ("a.json", '{"t": "a"}', LABEL, "a JSON dict; expected a list of objects, or JSON lines named .jsonl"),
        ("a.json", '{"t": "a"}\n{"t": "b"}', LABEL, "is not JSON .*JSON lines is named .jsonl"),
        ("a.json", "[1]", LABEL, "row 1 is int; expected an object"),
        ("a.jsonl", '{"t": "a", "l": 1}\n{"t"', LABEL, "line 2 is not JSON"),
        ("a.jsonl", '{"t": "a", "l": ' + "[" * 100_000, LABEL, "line 1 is not JSON .maximum recursion depth"),
        ("a.json", "[" * 100_000, LABEL, "is not JSON .maximum recursion depth"),
        ("a.jsonl", '{"t": 5, "l": 1}', LABEL, "row 1 has the text 5 in column 't'; expected a string"),
        ("a.jsonl", '{"t": "a", "l": 1, "p": 5}', f"{LABEL},prompt=p", "row 1 has the prompt '5'"),
        (
            "a.jsonl",
            '{"t": "a", "l": 1, "p": [{"role": "user", "content": null}]}',
            f"{LABEL},prompt=p",
            "row 1 has the prompt .*expected a string, or a list of",
        ),
        ("a.jsonl", spans_of("nonsense"), SPANS, "has spans 'nonsense'; expected a list of objects"),
        ("a.jsonl", spans_of([{"start": 0, "end": 2}]), SPANS, "expected a list of objects"),
        ("a.jsonl", spans_of("[" * 100_000), SPANS, "expected a list of objects"),
        ("a.jsonl", spans_of([{"start": 0, "end": float("inf"), "type": "X"}]), SPANS, "expected a list of objects"),
        ("a.jsonl", spans_of([{"start": 0, "end": 9, "type": "X"}]), SPANS, "a span 0 to 9 in a text of 4 characters"),
        ("a.jsonl", spans_of([{"start": 2, "end": 2, "type": "X"}]), SPANS, "a span 2 to 2"),
    ],
)
def test_invalid_files_are_errors(tmp_path, name, content, columns, message):
    with pytest.raises(DataError, match=message):
        read_cases(write(tmp_path, name, content), parse_columns(columns))


def test_a_positive_label_that_no_row_has_is_an_error(tmp_path):
    path = write(tmp_path, "a.csv", "t,l\na,hate\nb,neutral\n")
    with pytest.raises(DataError, match=r"'hateful' \(--positive\); its labels are 'hate', 'neutral'"):
        read_cases(path, parse_columns(LABEL), ["hateful"])


def test_a_missing_file_and_a_file_that_is_not_gzip_are_errors(tmp_path):
    (tmp_path / "b.csv.gz").write_bytes(b"t,l\na,1\n")
    (tmp_path / "c.csv.gz").write_bytes(gzip.compress(b"t,l\na,1\n" * 999)[:-20])
    (tmp_path / "d.csv.gz").write_bytes(gzip.compress(b"t,l\na,1\n")[:10] + b"\xff" * 20)
    messages = {"a": "No such file", "b": "cannot read .*gzip", "c": "ends within", "d": "damaged gzip data .Error -3"}
    for name, message in messages.items():
        path = tmp_path / ("a.csv" if name == "a" else f"{name}.csv.gz")
        with pytest.raises(DataError, match=message):
            read_cases(path, parse_columns(LABEL))


@pytest.fixture(params=["files", "saved"])
def folder(request, tmp_path):
    """A data set in Hugging Face's format, with the splits train and test."""
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["safe", "attack"])}
    )
    splits = {
        name: datasets.Dataset.from_dict({"text": [f"{name} a", f"{name} b"], "label": [0, 1]}, features=features)
        for name in ("train", "test")
    }
    path = tmp_path / "set"
    if request.param == "saved":
        datasets.DatasetDict(splits).save_to_disk(str(path))
        return path
    (path / "data").mkdir(parents=True)
    for name, split in splits.items():
        split.to_parquet(str(path / "data" / f"{name}-00000-of-00001.parquet"))
    return path


@pytest.mark.parametrize(("split", "texts"), [("", "test"), ("train", "train")])
def test_a_folder_is_a_data_set_whose_labels_are_names(folder, split, texts):
    cases = read_cases(folder, parse_columns("text=text,label=label"), ["attack"], split)
    assert [(case.text, case.label) for case in cases] == [(f"{texts} a", False), (f"{texts} b", True)]


@pytest.mark.parametrize("missing", [-1, None])
def test_a_row_without_a_label_in_a_folder_is_an_error(tmp_path, missing):
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["safe", "attack"])}
    )
    rows = {"text": ["a", "b", "c"], "label": [0, 1, missing]}
    datasets.Dataset.from_dict(rows, features=features).save_to_disk(str(tmp_path / "set"))
    with pytest.raises(DataError, match="row 3 has no label in column 'label'"):
        read_cases(tmp_path / "set", parse_columns("text=text,label=label"), ["attack"])


def test_the_error_for_a_missing_split_lists_the_existing_splits(folder):
    with pytest.raises(DataError, match=r"^/[^:]* has no split 'dev'; its splits are train, test"):
        read_cases(folder, parse_columns("text=text,label=label"), ["attack"], "dev")


@pytest.mark.parametrize(("saved", "known"), [(None, "train"), ("validation", "validation")])
def test_a_set_that_was_saved_alone_has_one_split(tmp_path, saved, known):
    rows = datasets.Dataset.from_dict({"text": ["a"], "label": [1]}, split=saved)
    rows.save_to_disk(str(tmp_path / "set"))
    assert len(read_cases(tmp_path / "set", parse_columns("text=text,label=label"), split=known)) == 1
    with pytest.raises(DataError, match=f"has no split 'dev'; its splits are {known}$"):
        read_cases(tmp_path / "set", parse_columns("text=text,label=label"), split="dev")


def test_a_folder_with_a_loading_script_is_an_error(tmp_path):
    script = tmp_path / f"{tmp_path.name}.py"
    script.write_text("")
    with pytest.raises(
        DataError, match=rf"found {script.name}; name one of its files, or another folder, with --file$"
    ):
        read_cases(tmp_path, parse_columns("text=text,label=label"))


def test_the_error_for_a_folder_with_several_sets_has_one_line(tmp_path):
    configs = "".join(f"- config_name: {name}\n  data_files: {name}.csv\n" for name in "ab")
    (tmp_path / "README.md").write_text(f"---\nconfigs:\n{configs}---\n")
    for name in "ab":
        (tmp_path / f"{name}.csv").write_text("text,label\nx,1\n")
    with pytest.raises(
        DataError, match=r"cannot read the data set in [^\n]*'a', 'b'[^\n]*; name one of its files[^\n]*$"
    ):
        read_cases(tmp_path, parse_columns("text=text,label=label"))


def test_a_folder_without_a_data_set_is_an_error(tmp_path):
    with pytest.raises(DataError, match="cannot read the data set in"):
        read_cases(tmp_path, parse_columns("text=text,label=label"))
