"""The folder of a version: merged weights, manifest, card and signature."""

import stat
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from support.tiny_gguf import save_tiny_gguf
from support.tiny_llama import save_tiny_llama
from support.tiny_training import tiny_job

from stream.files import file_digest
from stream.loop.training.base_model import linear_modules, load_base
from stream.loop.training.errors import TrainingError
from stream.loop.training.job import RayCluster, VersionFolder
from stream.loop.training.manifest import read_version
from stream.loop.training.records import model_event
from stream.loop.training.signing import ensure_keys, verify_version
from stream.loop.training.version import draft_of, make_version

NUMBERS = {"step": 3.0, "steps": 3.0, "loss": 1.5, "seconds": 2.0, "rows": 24.0}
IDS = torch.arange(2, 60).reshape(2, 29)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return save_tiny_gguf(tmp_path_factory.mktemp("base"))


def random_adapter(base, folder, seed=0):
    """Write an adapter that changes the answers."""
    model, _ = load_base(base)
    torch.manual_seed(seed)
    adapted = get_peft_model(
        model, LoraConfig(r=4, lora_alpha=8, target_modules=linear_modules(model), task_type="CAUSAL_LM")
    )
    for name, weights in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weights, std=0.1)
    adapted.save_pretrained(folder, save_embedding_layers=False)
    return folder


@pytest.fixture
def adapter(base, tmp_path):
    return random_adapter(base, tmp_path / "adapter")


@pytest.fixture
def home(tmp_path):
    return tmp_path / "home"


def logits(model):
    with torch.no_grad():
        return model.eval()(IDS).logits


def test_the_merged_file_is_the_base_plus_the_adapter(base, adapter, home):
    version = make_version(tiny_job(base, home), home, adapter, NUMBERS).version
    folder = VersionFolder.of(home, version)
    merged, tokenizer = load_base(folder.merged)
    plain, base_tokenizer = load_base(base)
    expected = logits(PeftModel.from_pretrained(load_base(base)[0], str(folder.adapter)))
    assert torch.allclose(logits(merged), expected, atol=0.1)  # the merged weights are F16
    assert not torch.allclose(logits(merged), logits(plain), atol=1.0)
    assert tokenizer.chat_template == base_tokenizer.chat_template
    assert tokenizer.get_vocab() == base_tokenizer.get_vocab()


def test_a_version_names_its_sources_and_its_verification_succeeds(base, adapter, home):
    cluster = RayCluster(address="10.0.0.1:6379", workers=1, storage="s3://key:hunter2@bucket/weir")
    job = tiny_job(base, home, retraining_id="rt_1", ray=cluster)
    made = make_version(job, home, adapter, NUMBERS)
    folder = VersionFolder.of(home, made.version)
    assert made == read_version(home, made.version) == verify_version(home, made.version)
    assert made.version == f"m_{file_digest(folder.weights)[:12]}"
    assert made.weights_digest == file_digest(folder.merged)
    assert set(made.files) == {
        "adapter/adapter_config.json", "adapter/adapter_model.safetensors", "card.md", "model.gguf",
    }  # fmt: skip
    assert "hunter2" not in folder.manifest.read_text()
    card = folder.card.read_text()
    for named in ("rt_1", job.dataset_digest, job.base_digest, made.adapter_digest, "3 of 3 steps", "24 rows"):
        assert named in card
    assert {stat.S_IMODE(path.stat().st_mode) for path in folder.path.rglob("*") if path.is_file()} == {0o600}
    assert stat.S_IMODE(ensure_keys(home).stat().st_mode) == 0o600
    assert [path.name for path in folder.path.parent.iterdir()] == [made.version]


def test_a_version_is_created_once(base, adapter, home):
    first = make_version(tiny_job(base, home), home, adapter, NUMBERS)
    signature = VersionFolder.of(home, first.version).signature.read_bytes()
    assert make_version(tiny_job(base, home), home, adapter, NUMBERS | {"seconds": 9.0}) == first
    assert VersionFolder.of(home, first.version).signature.read_bytes() == signature


def test_the_event_of_weights_that_were_made_before_names_the_request_of_the_run(base, adapter, home):
    make_version(tiny_job(base, home), home, adapter, NUMBERS)
    again = make_version(tiny_job(base, home, retraining_id="rt_1"), home, adapter, NUMBERS)
    for given, named in (("rt_1", "rt_1"), ("", "")):
        event = model_event(home, again, given)
        assert (event.data.retraining_id, event.causationid) == (named, named)


def test_the_records_of_one_version_for_two_requests_are_two_events_and_a_repeated_record_is_one(base, adapter, home):
    made = make_version(tiny_job(base, home), home, adapter, NUMBERS)
    ids = [model_event(home, made, request, "digest").id for request in ("rt_1", "rt_2", "rt_1")]
    assert ids[0] == ids[2] != ids[1]
    assert all(name.isprintable() for name in ids)


@pytest.mark.parametrize(("field", "value"), [("tenant", "beta"), ("model", "n")])
def test_the_same_weights_for_another_owner_are_an_error_and_the_version_is_kept(base, adapter, home, field, value):
    made = make_version(tiny_job(base, home), home, adapter, NUMBERS)
    with pytest.raises(TrainingError, match=f"version {made.version} of {made.job.tenant} / {made.job.model}"):
        make_version(msgspec.structs.replace(tiny_job(base, home), **{field: value}), home, adapter, NUMBERS)
    assert verify_version(home, made.version) == made


def test_the_draft_of_a_killed_process_is_deleted_and_the_draft_of_a_running_process_is_kept(home):
    script = (
        "import sys, time; from pathlib import Path; from stream.loop.training.version import draft_of\n"
        "with draft_of(Path(sys.argv[1])) as draft: print(draft.path, flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", script, str(home)], stdout=subprocess.PIPE, text=True) as process:
        other = Path(process.stdout.readline().strip())
        with draft_of(home):
            assert other.is_dir()
        process.kill()
    assert other.is_dir()
    with draft_of(home) as draft:
        assert not other.parent.exists()
        assert list(home.rglob("version")) == [draft.path]
    assert not list(home.rglob(".draft-*"))


@pytest.mark.parametrize("name", ["model.gguf", "card.md", "manifest.json", "adapter/adapter_model.safetensors"])
def test_the_verification_of_a_changed_file_fails_and_the_version_is_created_again(base, adapter, home, name):
    made = make_version(tiny_job(base, home), home, adapter, NUMBERS)
    path = VersionFolder.of(home, made.version).path / name
    path.write_bytes(path.read_bytes().replace(b"a", b"b", 1))
    with pytest.raises(TrainingError, match=r"signature|damaged"):
        verify_version(home, made.version)
    assert make_version(tiny_job(base, home), home, adapter, NUMBERS).adapter_digest == made.adapter_digest
    verify_version(home, made.version)


def test_the_verification_fails_with_another_key_or_another_adapter_file(base, adapter, home, tmp_path):
    made = make_version(tiny_job(base, home), home, adapter, NUMBERS)
    folder = VersionFolder.of(home, made.version)
    (folder.path / "gate.json").write_text("{}")  # the report of the gate, which is written later
    verify_version(home, made.version)
    (folder.adapter / "adapter_model.bin").write_text("code")
    with pytest.raises(TrainingError, match=r"adapter_model\.bin"):
        verify_version(home, made.version)
    (folder.adapter / "adapter_model.bin").unlink()
    ensure_keys(tmp_path / "other")
    (home / "loop" / "signing" / "public.pem").write_bytes(
        (tmp_path / "other" / "loop" / "signing" / "public.pem").read_bytes()
    )
    with pytest.raises(TrainingError, match="signature"):
        verify_version(home, made.version)


def test_a_version_of_a_folder_in_hugging_faces_format_has_no_merged_file(tmp_path, home):
    base = save_tiny_llama(tmp_path / "hf")
    made = make_version(tiny_job(base, home), home, random_adapter(base, tmp_path / "adapter"), NUMBERS)
    merged = VersionFolder.of(home, made.version).merged
    assert made.weights_digest == ""
    assert not merged.exists()
    assert verify_version(home, made.version) == made
    merged.write_bytes(b"weights that a replica would load")
    with pytest.raises(TrainingError, match=r"model\.gguf was not signed"):
        verify_version(home, made.version)


@pytest.mark.parametrize("content", [b"{", b'{"version": "\xff"}'])
def test_a_damaged_manifest_is_named(home, content):
    folder = VersionFolder.of(home, "m_1")
    folder.path.mkdir(parents=True)
    folder.manifest.write_bytes(content)
    with pytest.raises(TrainingError, match=f"{folder.manifest} is damaged"):
        read_version(home, "m_1")


def test_an_unknown_version_is_named(home):
    with pytest.raises(TrainingError, match=r"no version m_none in .*; give the name of a folder there"):
        read_version(home, "m_none")


def test_the_time_limits_of_a_job_are_not_in_its_weights_key(tmp_path):
    job = tiny_job(tmp_path, tmp_path)
    for name in ("max_seconds", "checkpoint_seconds"):
        assert msgspec.structs.replace(job, **{name: 7.0}).weights_key() == job.weights_key()
    assert msgspec.structs.replace(job, seed=7).weights_key() != job.weights_key()
