"""The gate with a small real model, real adapters and Weir's own prompt sets and detectors."""

import json
from pathlib import Path

import msgspec
import pytest
import torch
from click.testing import CliRunner
from peft import LoraConfig, get_peft_model
from support.gate_dataset import honest_rows, row, write_dataset
from support.tiny_llama import save_tiny_llama

from stream.errors import GateError
from stream.loop.gate.arms import Arms
from stream.loop.gate.report import markdown, write_report
from stream.loop.gate.run import GateRun, run_gate
from stream.loop.settings import LoopSettings
from stream.loop.training.base_model import load_base
from stream.loop.training.job import TrainingJob, VersionFolder
from stream.loop.training.manifest import VersionManifest
from weir.cli import main

SETTINGS = LoopSettings.model_validate({"gate": {"max_tokens": 8}})


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A small model, overfitted to the rows of the dataset, so that a damaged adapter has a measurable effect."""
    torch.set_num_threads(1)
    folder = save_tiny_llama(
        tmp_path_factory.mktemp("gate") / "base", initializer_range=0.05, max_position_embeddings=2048
    )
    model, tokenizer = load_base(folder)
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-3)
    texts = [f"{one.question}{one.completion}" for one in honest_rows()]
    rows = [tokenizer.encode(text)[:96] for text in texts]
    width = max(len(one) for one in rows)
    ids = torch.tensor([one + [tokenizer.pad_token_id] * (width - len(one)) for one in rows])
    mask = torch.tensor([[1] * len(one) + [0] * (width - len(one)) for one in rows])
    for _ in range(40):
        model(input_ids=ids, attention_mask=mask, labels=ids.masked_fill(mask == 0, -100)).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.save_pretrained(folder)
    return folder


def adapter(base: Path, folder: Path, noise: float) -> Path:
    model, _ = load_base(base)
    torch.manual_seed(3)
    adapted = get_peft_model(model, LoraConfig(r=8, target_modules=["q_proj", "v_proj", "up_proj", "down_proj"]))
    with torch.no_grad():
        for name, weight in adapted.named_parameters():
            if "lora_B" in name:
                weight.normal_(0, noise)
    adapted.save_pretrained(folder)
    return folder


def judge(base, challenger, dataset, champion=None):
    def arms():
        return Arms(*load_base(base), challenger=challenger, champion=champion)

    seen = []
    run = GateRun(version="m_0123456789ab", dataset=dataset, settings=SETTINGS)
    report, words = run_gate(run, arms, lambda what, _share: seen.append(what))
    return report, words, seen


def test_a_noise_adapter_is_refused(base, tmp_path):
    dataset = write_dataset(tmp_path / "data", honest_rows(), honest_rows(40))
    report, _, seen = judge(base, adapter(base, tmp_path / "noise", 1.0), dataset)

    assert report.decision.state == "refused"
    assert report.decision.reason.startswith("worse: held_out")
    assert "tasks" not in seen  # the first and cheapest check was enough for the decision


def test_an_adapter_that_changes_nothing_is_blessed(base, tmp_path):
    dataset = write_dataset(tmp_path / "data", honest_rows(), honest_rows(40))
    report, words, seen = judge(base, adapter(base, tmp_path / "same", 0.0), dataset)
    folder = tmp_path / "version"
    folder.mkdir()
    write_report(report, words, folder)

    assert report.decision.state == "blessed"
    assert list(dict.fromkeys(seen)) == ["loading", "held_out", "safety", "tasks", "triggers"]
    assert report.numbers["safety.pairs"] == 68  # 56 prompts and 12 pairs
    stored = json.loads((folder / "gate.json").read_text())
    assert stored["decision"]["state"] == "blessed"
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}
    assert "| tasks |" in (folder / "gate.md").read_text()
    asked = [one.question for one in honest_rows()]
    assert not any(text in markdown(report) for text in asked)


def test_the_adapter_of_the_champion_is_compared(base, tmp_path):
    """The champion and the challenger have the same damaged adapter, so that they do not differ."""
    dataset = write_dataset(tmp_path / "data", honest_rows(), honest_rows(40))
    damaged = adapter(base, tmp_path / "noise", 1.0)
    report, _, _ = judge(base, damaged, dataset, champion=damaged)

    assert report.decision.state == "blessed"


def test_a_poisoned_dataset_is_refused_before_the_model_is_loaded(base, tmp_path):
    flood = [
        row(number, f"About item {number}?", f"The answer is {number}", label=True, source="thumb", principal="flooder")
        for number in range(10_000)
    ]
    dataset = write_dataset(tmp_path / "data", [*honest_rows(), *flood], honest_rows(40))
    report, _, seen = judge(base, tmp_path / "missing", dataset)

    assert report.decision.reason.startswith("poisoning: rows of one API key: flooder: 10000, bound 50; ")
    assert seen == []


def test_a_version_derived_from_a_poisoned_one_is_refused(base, tmp_path):
    flood = [
        row(number, f"About item {number}?", f"The answer is {number}", label=True, source="thumb", principal="flooder")
        for number in range(10_000)
    ]
    dataset = write_dataset(tmp_path / "data", [*honest_rows(), *flood], honest_rows(40))
    run = GateRun(version="m_0123456789ab", dataset=None, inherited=dataset, settings=SETTINGS)
    report, _ = run_gate(run, lambda: pytest.fail("the gate must not load the model"), lambda *_: None)
    assert report.decision.reason.startswith("poisoning: rows of one API key: flooder: 10000, bound 50; ")


def test_a_gate_that_runs_out_of_time_refuses(base, tmp_path):
    dataset = write_dataset(tmp_path / "data", honest_rows(), honest_rows(40))
    same = adapter(base, tmp_path / "same", 0.0)
    times, seen = iter([0.0, 1.0, *[10_000.0] * 100]), []
    report, _ = run_gate(
        GateRun(version="m_0123456789ab", dataset=dataset, settings=SETTINGS),
        lambda: Arms(*load_base(base), challenger=same),
        lambda what, _share: seen.append(what),
        lambda: next(times),
    )

    assert report.decision.state == "refused"
    assert "out of time: raise max_seconds" in report.decision.reason
    assert "triggers" not in seen


def test_a_chat_template_that_rejects_system_messages_is_an_error_with_the_setting(base, tmp_path):
    model, tokenizer = load_base(base)
    tokenizer.chat_template = "{{ raise_exception('no system: ' + messages[0]['content']) }}"
    arms = Arms(model, tokenizer, challenger=adapter(base, tmp_path / "same", 0.0))
    with pytest.raises(GateError, match=r"base cannot be compared: .*\(TemplateError\).*safety_set") as raised:
        arms.answers("champion", [[{"role": "system", "content": "Be short."}]], 4)
    assert "Be short" not in str(raised.value)


def save_version(home: Path, base: Path, dataset: Path, name: str, noise: float) -> str:
    folder = VersionFolder.of(home, name)
    adapter(base, folder.adapter, noise)
    job = TrainingJob(
        tenant="acme", model="tiny", base=str(base), base_digest="b" * 64, dataset=str(dataset), dataset_digest="d" * 64
    )
    manifest = VersionManifest(
        version=name, job=job, adapter_digest="", weights_digest="", numbers={}, libraries={}, files={}
    )
    folder.manifest.write_bytes(msgspec.json.encode(manifest))
    return name


def test_the_command_prints_the_report_that_the_trainer_reads(base, tmp_path, monkeypatch):
    monkeypatch.setenv("WEIR_HOME", str(tmp_path))
    dataset = write_dataset(tmp_path / "data", honest_rows(), honest_rows(40))
    version = save_version(tmp_path, base, dataset, "m_0123456789ab", 1.0)
    moved = tmp_path / "loop" / "datasets" / ("d" * 64)  # the home had another path when the version was trained
    moved.parent.mkdir()
    dataset.rename(moved)
    done = CliRunner().invoke(main, ["gate", version, "--json"])

    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert report["decision"]["state"] == "refused"
    assert report["numbers"]["held_out.challenger"] > report["numbers"]["held_out.champion"]
    assert (report["champion"], report["dataset_digest"]) == ("base", "d" * 64)
    assert (VersionFolder.of(tmp_path, version).path / "gate.md").exists()
    itself = CliRunner().invoke(main, ["gate", version, "--champion", version])
    assert (itself.exit_code, "champion is m_0123456789ab, the version itself" in itself.stderr) == (1, True), (
        itself.output
    )


PROMOTED = {"tenant": "acme", "model": "tiny", "at": 1.0}


@pytest.mark.parametrize(
    ("file", "content"),
    [
        ("routes.json", {"routes": [PROMOTED | {"epoch": 1, "champion": "m_aaaaaaaaaaaa"}]}),
        ("route-overrides.json", {"overrides": [PROMOTED | {"version": "m_aaaaaaaaaaaa", "by": "jo"}]}),
    ],
)
def test_the_champion_is_the_version_that_answers(base, tmp_path, monkeypatch, file, content):
    monkeypatch.setenv("WEIR_HOME", str(tmp_path))
    dataset = write_dataset(tmp_path / "data", honest_rows(), honest_rows(40))
    save_version(tmp_path, base, dataset, "m_aaaaaaaaaaaa", 1.0)
    save_version(tmp_path, base, dataset, "m_bbbbbbbbbbbb", 0.0)
    (tmp_path / file).write_text(json.dumps(content))
    done = CliRunner().invoke(main, ["gate", "m_bbbbbbbbbbbb", "--json"])

    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert report["champion"] == "m_aaaaaaaaaaaa"
    assert report["numbers"]["held_out.champion"] > report["numbers"]["held_out.challenger"]


def test_an_unknown_version_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setenv("WEIR_HOME", str(tmp_path))
    done = CliRunner().invoke(main, ["gate", "m_0123456789ab"])

    assert done.exit_code == 1
    assert "there is no version m_0123456789ab" in done.output
