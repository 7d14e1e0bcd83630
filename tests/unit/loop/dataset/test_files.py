"""The files of a dataset: formats, completeness and file modes; printed output contains no text."""

import json
import os
import re

import mlcroissant
import msgspec
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner
from huggingface_hub import DatasetCard
from support.dataset_log import LOOSE, MODEL, TENANT, WordScanner, approval, exchange, join

from stream.errors import BrokerError, DatasetDamaged
from stream.loop.cases import digest_of_cases, load_safety, load_tasks
from stream.loop.dataset.build import _curated, write
from stream.loop.dataset.clusters import clusters, quantised
from stream.loop.dataset.curate import curate
from stream.loop.dataset.diff import diff
from stream.loop.dataset.files import datasets_in, find, read_manifest, read_rows, verify
from stream.loop.dataset.log import DatasetRequest
from stream.loop.settings import LoopSettings
from stream.wire import LogRange
from weir.cli.dataset import dataset

RANGES = (LogRange(topic="weir.inference", first={"0": 3, "1": 0}, last={"0": 90, "1": 7}),)
EMAIL, VILE = "ada@example.org", "a vile answer"


def events_of(count):
    events = []
    for number in range(count):
        name = f"q{number}"
        events += [*exchange(name, group=number % 3), approval(name, by=f"r{number % 4}")]
    events += [
        *exchange("mail", prompt=f"write to {EMAIL}"),
        approval("mail"),
        *exchange("vile", answer=VILE),
        approval("vile"),
    ]
    return events


def written(home, count=24, **settings):
    loop = LoopSettings(dataset=LOOSE.model_copy(update={"eval_share": 0.2} | settings))
    curated = curate(join(*events_of(count)).exchanges(), loop.dataset, "sft", WordScanner())
    request = DatasetRequest(tenant=TENANT, model=MODEL, ranges=RANGES, retraining_id="rt_1", versions={"code": "abc"})
    return write(home, request, curated, loop, WordScanner.versions), curated


@pytest.mark.parametrize("content", [b"{", b'{"digest": "\xff"}'])
def test_a_damaged_manifest_does_not_hide_the_other_datasets(tmp_path, monkeypatch, content):
    _, curated = written(tmp_path)
    damaged = tmp_path / "loop" / "datasets" / "aaaa11" / "manifest.json"
    damaged.parent.mkdir()
    damaged.write_bytes(content)
    monkeypatch.setenv("WEIR_HOME", str(tmp_path))
    for listed in (CliRunner().invoke(dataset, ["list"]), CliRunner().invoke(dataset, ["list", "--json"])):
        assert curated.digest[:12] in listed.stdout
        assert f"{damaged} cannot be read" in listed.stderr
        assert listed.exit_code == 1


@pytest.mark.parametrize("name", ["card.md", "samples.jsonl"])
@pytest.mark.parametrize("content", [None, b"", b"{", b"\xff"])
def test_a_damaged_file_is_an_error_with_its_path(tmp_path, monkeypatch, name, content):
    folder, curated = written(tmp_path)
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content)
    monkeypatch.setenv("WEIR_HOME", str(tmp_path))
    shown = CliRunner().invoke(dataset, ["show", curated.digest[:8], "--samples"])
    assert isinstance(shown.exception, DatasetDamaged)
    assert str(folder / name) in str(shown.exception)


def test_a_rebuild_without_kafka_is_an_error_with_the_address(tmp_path, monkeypatch):
    _, curated = written(tmp_path)
    monkeypatch.setenv("WEIR_HOME", str(tmp_path))
    monkeypatch.setenv("WEIR_KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:1")
    rebuilt = CliRunner().invoke(dataset, ["verify", curated.digest, "--rebuild"])
    assert isinstance(rebuilt.exception, BrokerError)
    assert "no Kafka answers at 127.0.0.1:1" in str(rebuilt.exception)


def test_the_manifest_as_json_has_no_samples(tmp_path, monkeypatch):
    _, curated = written(tmp_path)
    monkeypatch.setenv("WEIR_HOME", str(tmp_path))
    shown = CliRunner().invoke(dataset, ["show", curated.digest[:8], "--json", "--samples"])
    assert (shown.exit_code, shown.stdout) == (2, "")
    assert "give --json or --samples" in shown.stderr


def test_the_rows_are_read_as_written_and_match_the_digest(tmp_path):
    folder, curated = written(tmp_path)
    assert folder == tmp_path / "loop" / "datasets" / curated.digest == find(tmp_path, curated.digest[:8])
    assert tuple(read_rows(folder, "train")) == curated.train
    assert tuple(read_rows(folder, "eval")) == curated.eval
    assert curated.eval
    manifest = verify(folder)
    assert (manifest.retraining_id, manifest.ranges, manifest.versions["code"]) == ("rt_1", RANGES, "abc")
    assert manifest.counts.train + manifest.counts.eval == 25
    assert manifest.counts.dropped == {"toxicity": 1}
    assert pq.ParquetFile(folder / "train.parquet").metadata.row_group(0).column(0).compression == "ZSTD"


@pytest.mark.parametrize("umask", [0, 0o022, 0o077])
def test_a_second_build_changes_nothing_and_files_are_private(tmp_path, umask):
    before_the_test = os.umask(umask)
    try:
        folder, _ = written(tmp_path)
    finally:
        os.umask(before_the_test)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert written(tmp_path)[0] == folder
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    assert datasets_in(tmp_path) == [folder]
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    assert folder.stat().st_mode & 0o777 == 0o700


def test_no_file_contains_personal_data_or_toxic_text_and_printed_output_contains_no_text(tmp_path):
    folder, curated = written(tmp_path)
    for path in folder.iterdir():
        content = path.read_bytes()
        assert EMAIL.encode() not in content
        assert VILE.encode() not in content
    rows = [*curated.train, *curated.eval]
    assert any("<EMAIL_ADDRESS>" in row.prompt[0].content for row in rows)
    for name in ("card.md", "croissant.json", "report.html", "manifest.json"):
        text = (folder / name).read_text()
        assert not [row.id for row in rows if row.completion in text or row.prompt[0].content in text]


def test_the_card_has_the_format_of_hugging_face(tmp_path):
    folder, curated = written(tmp_path, max_per_principal=4)
    card = DatasetCard.load(folder / "card.md", ignore_metadata_errors=False)
    assert card.data.to_dict()["configs"][0]["data_files"][1] == {"split": "eval", "path": "eval.parquet"}
    assert card.data.language == ["en"]
    for expected in (
        curated.digest,
        "| `weir.inference` | 0 | 3 | 90 |",
        "| max_per_principal | 22 |",
        "| max_per_principal | `k0` | 16 | 4 |",
    ):
        assert expected in card.text, expected
    assert "{{" not in card.content


@pytest.mark.filterwarnings("ignore:The inplace keyword")  # a warning of pandas, in mlcroissant
@pytest.mark.filterwarnings(
    "ignore:ConjunctiveGraph is deprecated:DeprecationWarning"
)  # a warning of rdflib, in mlcroissant
def test_the_description_is_croissant_and_reads_the_rows(tmp_path, monkeypatch):
    folder, curated = written(tmp_path)
    monkeypatch.chdir(folder)
    found = mlcroissant.Dataset(jsonld=str(folder / "croissant.json"))
    assert not found.metadata.issues.errors
    ids = [record["train/id"].decode() for record in found.records(record_set="train")]
    assert ids == [row.id for row in curated.train]


@pytest.mark.parametrize("augment", ["none", "lower"])
def test_the_report_does_not_count_copies_of_augmentation_as_reviewed_requests(tmp_path, augment):
    folder, curated = written(tmp_path, count=10, augment=augment)
    assert any("#" in row.id for row in curated.train) == (augment == "lower")
    assert "Reviewed requests and old rows: 12." in (folder / "report.html").read_text()


def test_the_report_shows_the_clusters_before_and_after(tmp_path):
    folder, curated = written(tmp_path, max_examples=6)
    text = (folder / "report.html").read_text()
    assert not re.search(r"<script|https?://|src=|@import", text)
    before, after = (int(re.search(rf">{title}: (\d+)<", text)[1]) for title in ("Candidates", "Kept"))
    kept = {row.id for row in (*curated.train, *curated.eval)}
    assert (before, after) == (24, len(kept - {"mail"}))
    assert text.count("<circle") == before + after
    assert "<td>coreset</td>" in text


def test_a_changed_row_a_missing_file_and_an_unknown_digest_are_named(tmp_path):
    folder, curated = written(tmp_path)
    with pytest.raises(DatasetDamaged, match="0 datasets in"):
        find(tmp_path, "ffffffff")
    manifest = read_manifest(folder)
    changed = msgspec.structs.replace(manifest, digest="0" * 64)
    (folder / "manifest.json").write_bytes(msgspec.json.encode(changed))
    with pytest.raises(DatasetDamaged, match=f"digest {curated.digest}, the manifest says 0000"):
        verify(folder)
    (folder / "train.parquet").write_bytes(b"damaged")
    with pytest.raises(DatasetDamaged, match=r"train\.parquet has the SHA-256"):
        verify(folder)


def test_the_authors_of_the_rows_are_in_the_manifest(tmp_path):
    folder, curated = written(tmp_path)
    assert read_manifest(folder).authors == dict.fromkeys(
        sorted(row.id for row in (*curated.train, *curated.eval)), "k0"
    )


def test_all_reviewers_of_new_and_old_rows_are_in_the_manifest(tmp_path):
    """The column `principal` names one reviewer; an operator may look for the others (`weir why --subject`)."""

    def build(names, parent="", **changes):
        events = [one for name in names for one in (*exchange(name), *(approval(name, by=f"r{n}") for n in range(3)))]
        loop = LoopSettings(dataset=LOOSE.model_copy(update=changes))
        request = DatasetRequest(tenant=TENANT, model=MODEL, ranges=RANGES, parent=parent)
        curated = _curated(tmp_path, request, join(*events), loop, WordScanner())
        return read_manifest(write(tmp_path, request, curated, loop, WordScanner.versions))

    first = build(["q1", "q2"])
    assert first.reviewers == dict.fromkeys(["q1", "q2"], ("r0", "r1", "r2"))
    second = build(["q3"], first.digest, replay_share=0.5)
    assert second.reviewers.keys() == second.authors.keys()
    assert len(second.reviewers) == 2
    assert set(second.reviewers.values()) == {("r0", "r1", "r2")}


def test_samples_with_a_line_separator_of_unicode_are_printed(tmp_path, monkeypatch):
    monkeypatch.setenv("WEIR_HOME", str(tmp_path))
    events = [*exchange("q", prompt="first\u2028second\u0085third"), approval("q")]
    curated = curate(join(*events).exchanges(), LOOSE, "sft", WordScanner())
    folder = write(tmp_path, DatasetRequest(tenant=TENANT, model=MODEL, ranges=RANGES), curated, LoopSettings(), {})
    done = CliRunner().invoke(dataset, ["show", folder.name, "--samples"], catch_exceptions=False)
    assert done.exit_code == 0
    assert "q (approved)" in done.output


def test_rows_that_resemble_a_prompt_of_the_gate_are_left_out_also_with_weirs_own_sets(tmp_path):
    prompts = [case.prompt for case in (*load_tasks(""), *load_safety(""))]
    asked = [event for n, text in enumerate(prompts) for event in (*exchange(f"g{n}", prompt=text), approval(f"g{n}"))]
    loop = LoopSettings(dataset=LOOSE)
    request = DatasetRequest(tenant=TENANT, model=MODEL, ranges=RANGES)
    found = _curated(tmp_path, request, join(*asked, *events_of(5)), loop, WordScanner())
    assert not [row.id for row in (*found.train, *found.eval) if row.id.startswith("g")]
    assert found.dropped["held_out"] == len(prompts) == 140


def test_the_manifest_names_the_prompts_of_the_gate(tmp_path):
    manifest = read_manifest(written(tmp_path)[0])
    assert manifest.versions["gate.eval_set"] == digest_of_cases(load_tasks(""))
    assert manifest.versions["gate.safety_set"] == digest_of_cases(load_safety(""))


def test_a_diff_names_rows_and_settings(tmp_path):
    before, first = written(tmp_path, 24)
    after, second = written(tmp_path, 26, max_examples=400)
    found = diff(before, after)
    assert (found.before, found.after) == (first.digest, second.digest)
    assert set(found.added) == {"q24", "q25"}
    assert found.settings == {"max_examples": (500, 400)}
    assert found.removed == ()
    assert found.sources == {"approved": (25, 27)}
    json.loads(msgspec.json.encode(found))


def test_equal_vectors_and_few_vectors_have_few_clusters():
    same = quantised([bytes(192)] * 3)
    assert clusters(same, 4) == [0, 0, 0]
    assert clusters(same[:0], 4) == []
