"""The real client of the Hugging Face hub against a small hub of the test on loopback."""

import hashlib
import http.server
import json
import re
import threading

import huggingface_hub.constants
import pytest

from serving.engine import fetch_model as weights
from serving.engine.catalogue import CATALOGUE, HubSource, KnownModel
from serving.engine.errors import ModelInvalidError, ModelNotFoundError
from serving.engine.hub_download import from_hub, hub_revision

_REVISION = "a" * 40
_FILES = {
    "config.json": b"{}",
    "model.safetensors": b"w" * 300_000,
    "tokenizer.json": b"{}",
    "onnx/model.onnx": b"not wanted",
    "pytorch_model.bin": b"not wanted",
}


class _Hub(http.server.BaseHTTPRequestHandler):
    def do_HEAD(self):
        self._answer(body=False)

    def do_GET(self):
        self._answer(body=True)

    def _answer(self, *, body):
        path = self.path.split("?")[0]
        content = None
        if re.fullmatch(rf"/api/models/owner/model(/revision/{_REVISION})?", path):
            info = {"id": "owner/model", "sha": _REVISION, "siblings": [{"rfilename": name} for name in _FILES]}
            content = json.dumps(info).encode()
        elif path.startswith(f"/owner/model/resolve/{_REVISION}/"):
            content = _FILES.get(path.split(f"{_REVISION}/")[1])
        refused = re.match(r"/api/models/owner/status-(\d+)", path)
        status = int(refused[1]) if refused else 404
        self.send_response(200 if content is not None else status)
        if content is None:
            if status == 404:
                self.send_header("X-Error-Code", "RepoNotFound")
            content = b""
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", _REVISION)
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, *_args):
        pass


@pytest.fixture
def hub(monkeypatch):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Hub)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr(
        huggingface_hub.constants,
        "HUGGINGFACE_CO_URL_TEMPLATE",
        huggingface_hub.constants.ENDPOINT + "/{repo_id}/resolve/{revision}/{filename}",
    )
    yield
    server.shutdown()
    server.server_close()
    thread.join()
    huggingface_hub.close_session()


_DIGEST = hashlib.sha256(_FILES["model.safetensors"]).hexdigest()


def _source(sha256=_DIGEST, repository="owner/model"):
    return HubSource(repository=repository, revision=_REVISION, weights="model.safetensors", sha256=sha256)


def test_the_needed_files_are_downloaded_with_progress_and_checked(hub, tmp_path):
    shares = []
    digest = from_hub(_source(), tmp_path, lambda _what, share: shares.append(share))
    assert digest == _DIGEST
    names = {path.relative_to(tmp_path).as_posix() for path in tmp_path.rglob("*") if path.is_file()}
    assert {name for name in names if not name.startswith(".cache")} == {
        "config.json",
        "model.safetensors",
        "tokenizer.json",
    }
    assert shares
    assert shares[-1] == 1.0


def test_weights_with_another_digest_are_an_error(hub, tmp_path):
    with pytest.raises(ModelInvalidError, match=r"has SHA-256 .*, pinned is 0000"):
        from_hub(_source("0" * 64), tmp_path, weights.no_progress)


def test_a_known_model_is_downloaded_if_the_hub_answers(hub, tmp_path, monkeypatch):
    monkeypatch.setitem(CATALOGUE, "known", KnownModel(hub=_source()))
    files = weights.ensure("known", tmp_path)
    assert (files.source, sorted(path.name for path in files.path.iterdir())) == (
        "hub",
        ["config.json", "model.safetensors", "tokenizer.json", "weir-model.json"],
    )


def test_a_repository_is_downloaded_at_its_present_revision(hub, tmp_path):
    assert hub_revision("owner/model") == _REVISION
    files = weights.ensure("owner/model", tmp_path)
    assert files.source == "hub"
    assert files == weights.ensure("owner/model", tmp_path)


@pytest.mark.parametrize(
    ("repository", "fix"),
    [
        ("owner/other", r"it answers 404; check the name and the revision, or set"),
        ("owner/status-401", r"it answers 401; check the name; a private or gated model needs .* HF_TOKEN"),
        ("owner/status-403", r"it answers 403; check the name; a private or gated model needs .* HF_TOKEN"),
        ("owner/status-400", r"it answers 400; try again later, or set a local directory"),
        ("owner//x", r"HFValidationError: .*; check the name"),
    ],
)
def test_an_error_of_the_hub_names_its_fix(hub, tmp_path, repository, fix):
    with pytest.raises(
        ModelNotFoundError, match=f"^{repository} is neither .* and it cannot be fetched from the hub: {fix}"
    ):
        hub_revision(repository)
    with pytest.raises(ModelNotFoundError, match=f"^{repository}@a+ cannot be downloaded from the hub: {fix}"):
        from_hub(_source(repository=repository), tmp_path, weights.no_progress)


def test_a_hub_that_cannot_be_reached_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", "http://127.0.0.1:1")
    with pytest.raises(
        ModelNotFoundError,
        match=r"from the hub: it cannot be reached \(ConnectError.*network and HTTPS_PROXY, or set a local directory",
    ):
        from_hub(_source(), tmp_path, weights.no_progress)
    with pytest.raises(
        ModelNotFoundError,
        match=r"it cannot be reached \(ConnectError.*network and HTTPS_PROXY, or set a local directory",
    ):
        weights.ensure("owner/model", tmp_path / "cache")
