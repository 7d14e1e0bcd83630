"""``weir models quantise``, ``prune``, ``compare`` and ``publish`` with a small real model, the engine, the gate and Weir's detectors."""

import asyncio
import json
import multiprocessing

import pytest
import torch
from click.testing import CliRunner
from mlflow.tracking import MlflowClient
from support.kafka_log import fresh_topics
from support.mlflow_server import running_mlflow
from support.smaller_models import SHAPE
from support.tiny_gguf import convert_to_gguf
from support.tiny_llama import save_tiny_llama
from transformers import AutoModelForCausalLM, AutoTokenizer

from stream.files import file_digest
from stream.kafka.tail import Tail
from stream.loop.smaller.text import load_passages, split
from stream.loop.training.job import VersionFolder
from stream.wire import decode
from weir.cli import main
from weir.errors import StackError
from weir.quality.model_comparison import compare_models
from weir.settings import Settings

pytestmark = pytest.mark.timeout(400)


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A small model, trained on the built-in text, so that damage to a version is measurable."""
    torch.set_num_threads(1)
    directory = tmp_path_factory.mktemp("smaller")
    folder = save_tiny_llama(directory / "hf", **SHAPE | {"initializer_range": 0.05})
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    used, _ = split(load_passages())
    ids = torch.tensor(
        [tokenizer.encode(passage.completion)[:128] for passage in used[:160] if len(passage.completion) > 200]
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for step in range(120):
        rows = ids[step * 16 % 144 :][:16]
        model(input_ids=rows, labels=rows).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.save_pretrained(folder)
    return convert_to_gguf(folder, directory / "tiny.gguf")


@pytest.fixture
def weir(base, tmp_path, monkeypatch):
    """Return a function that runs the command and returns its result."""
    monkeypatch.setenv("WEIR_HOME", str(tmp_path))
    config = tmp_path / "weir.toml"
    config.write_text(f'[model]\nname = "{base}"\n\n[tenants."default".loop.gate]\nmax_tokens = 8\n')
    monkeypatch.setenv("WEIR_CONFIG", str(config))

    def run(*arguments, status=0):
        done = CliRunner().invoke(main, arguments)
        assert done.exit_code == status, done.output
        return done

    return run


def test_a_quantised_version_verifies_passes_the_gate_and_can_be_promoted(weir, base, tmp_path):
    done = weir("models", "quantise", str(base), "--precision", "int8", "--json")
    made = json.loads(done.stdout)
    version = made["version"]
    assert "is not on Kafka" in done.stderr
    assert f"{version}: signature and digests are valid" in weir("models", "verify", version).stdout
    report = json.loads(weir("gate", version, "--json").stdout)
    assert report["decision"]["state"] == "blessed", report["decision"]["reason"]
    assert (report["champion"], report["dataset_digest"]) == ("base", "")
    assert report["numbers"]["held_out.pairs"] >= 32
    assert VersionFolder.of(tmp_path, version).path.joinpath("gate.md").exists()
    weir("models", "verify", version)  # the report does not change the digests of the version

    half = json.loads(weir("models", "quantise", version, "--precision", "int4", "--json").stdout)
    assert half["job"]["parent"] == version
    assert half["numbers"]["size_bytes"] < half["numbers"]["parent_size_bytes"]
    report = json.loads(weir("gate", half["version"], "--champion", version, "--json").stdout)
    assert report["champion"] == version

    weir("models", "promote", version, "--reason", "cheaper", "--now")
    overrides = json.loads((tmp_path / "route-overrides.json").read_text())["overrides"]
    assert [one["version"] for one in overrides] == [version]


def test_the_gate_refuses_to_compare_with_a_base_that_the_settings_no_longer_have(weir, base, tmp_path):
    version = json.loads(weir("models", "quantise", str(base), "--precision", "int8", "--json").stdout)["version"]
    other = convert_to_gguf(save_tiny_llama(tmp_path / "hf", seed=1, **SHAPE), tmp_path / "other.gguf")
    config = tmp_path / "weir.toml"
    config.write_text(f'[models."{base}"]\nname = "{other}"\n')
    text = f"{version} was made from a base with SHA-256 {file_digest(base)[:12]}, and {base} of the settings has"
    assert text in weir("gate", version, status=1).output


@pytest.mark.kafka
def test_a_version_made_without_kafka_is_published_later(weir, base, embedded_broker, monkeypatch, tmp_path):
    version = json.loads(weir("models", "quantise", str(base), "--precision", "int8", "--json").stdout)["version"]
    assert "start it with `weir up`" in weir("models", "publish", version, status=1).output
    kafka = asyncio.run(fresh_topics(embedded_broker.bootstrap))
    monkeypatch.setenv("WEIR_KAFKA__BOOTSTRAP_SERVERS", kafka.bootstrap_servers)
    monkeypatch.setenv("WEIR_KAFKA__TOPIC_PREFIX", kafka.topic_prefix)
    monkeypatch.setenv("WEIR_KAFKA__STREAM_PARTITIONS", str(kafka.stream_partitions))
    with running_mlflow(tmp_path) as address:
        for name in ("WEIR_MLFLOW__TRACKING_URI", "MLFLOW_TRACKING_URI"):  # the command sets the second variable
            monkeypatch.setenv(name, address)
        assert "is published" in weir("models", "publish", version).stdout
        client = MlflowClient(address)
        (found,) = client.search_model_versions()
        challenger = client.get_model_version_by_alias(found.name, "challenger")
    assert challenger.tags["weir.version"] == version

    async def versions():
        records = Tail(kafka.client_options(), kafka.names.models, follow=False).records()
        return [decode(record.value, record.headers).data.version async for record in records]

    assert asyncio.run(versions()) == [version]


def test_a_pruned_version_that_lost_too_much_is_refused(weir, base):
    done = weir("models", "prune", str(base), "--layers", "3", "--steps", "2", "--json")
    made = json.loads(done.stdout)
    assert len(made["smaller"]["removed_layers"]) == 3
    assert "distilling" in done.stderr
    report = json.loads(weir("gate", made["version"], "--json").stdout)
    assert report["decision"]["state"] == "refused"
    assert "held_out" in report["decision"]["reason"]


def test_the_models_are_compared(weir, base):
    version = json.loads(weir("models", "quantise", str(base), "--precision", "int4", "--json").stdout)["version"]
    whole, small = json.loads(weir("models", "compare", str(base), version, "--rounds", "1", "--json").stdout)
    assert (whole["name"], small["name"]) == (str(base), version)
    assert small["size_bytes"] < whole["size_bytes"]
    assert whole["speed_ratio"] == {"1": 1.0, "8": 1.0}
    assert 0.5 < small["perplexity"] / whole["perplexity"] < 3
    assert set(small["unsafe_by_kind"]) == {"toxicity", "injection", "refusal", "pii", "identity"}


def test_a_comparison_without_memory_is_an_error(base):
    """The kernel kills the process of a model if the memory is too small for all models."""

    def kill(what, *_):
        if what.endswith("tasks"):
            (process,) = multiprocessing.active_children()
            process.kill()
            process.join()

    with pytest.raises(StackError, match=r"the process of a model ended early: .* name fewer models"):
        compare_models(Settings(model={"name": str(base)}), [str(base)], 1, kill)


def test_errors_name_the_value_and_the_fix(weir, base):
    assert "choose one of int8, int4" in weir("models", "quantise", str(base), "--precision", "int3", status=1).output
    assert "give 1 to 3" in weir("models", "prune", str(base), "--layers", "4", status=1).output
    assert "is not served here" in weir("models", "quantise", "unknown", "--precision", "int8", status=1).output
    assert (
        "there is no version m_0123"
        in weir("models", "quantise", "m_0123456789ab", "--precision", "int8", status=1).output
    )
