"""The numeric type of a home: the first worker decides it, and a worker that does not support it does not start."""

import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from detectors.models import compute
from stream.files import write_json
from stream.settings import DetectorSettings, ScoreSettings
from weir.errors import SettingsError
from weir.home.compute import compute_path, decided, save_decision
from weir.settings import Settings


@pytest.fixture
def settings(tmp_path):
    return Settings(home=tmp_path)


def on(monkeypatch, *flags):
    monkeypatch.setattr(compute, "processor_flags", lambda: frozenset(flags))


def precision(settings):
    found = decided(settings)
    assert found.detectors.options["injection"]["precision"] == found.score.precision
    return found.score.precision


def test_the_first_worker_decides_the_numeric_type_and_later_workers_use_it(settings, monkeypatch):
    on(monkeypatch)
    assert precision(settings) == "float32"
    assert not compute_path(settings.home).exists()  # reading the settings does not write the decision
    save_decision(settings)
    on(monkeypatch, "avx512_bf16")
    save_decision(settings)
    assert precision(settings) == "float32"


def test_two_workers_that_start_together_make_one_decision(settings, monkeypatch):
    """They can have the same pid: each container has its own pids, and the home can be a volume of both."""
    both = threading.Barrier(2)

    def replace(path, content):
        write_json(path, content)
        with suppress(threading.BrokenBarrierError):  # the second worker waits for the first
            both.wait(0.2)

    monkeypatch.setattr("weir.home.compute.write_json", replace)
    with ThreadPoolExecutor(2) as workers:
        assert [*workers.map(save_decision, [settings] * 2)] == [None, None]
    assert [path.name for path in settings.home.iterdir() if "lock" not in path.name] == ["compute.json"]


def test_a_worker_that_does_not_support_the_numeric_type_does_not_start(settings, monkeypatch):
    on(monkeypatch, "amx_bf16")
    save_decision(settings)
    on(monkeypatch)
    assert precision(settings) == "bfloat16"
    with pytest.raises(SettingsError, match="precision is bfloat16, and this processor has none of"):
        save_decision(settings)


def test_a_setting_overrides_the_decision_and_an_option_overrides_both(settings, monkeypatch):
    on(monkeypatch, "avx512_bf16")
    save_decision(settings)
    detectors = DetectorSettings(options={"toxicity": {"precision": "bfloat16", "threshold": 0.5}})
    found = decided(settings.model_copy(update={"score": ScoreSettings(precision="float32"), "detectors": detectors}))
    assert found.score.precision == found.detectors.options["refusal"]["precision"] == "float32"
    assert found.detectors.options["toxicity"] == {"precision": "bfloat16", "device": "cpu", "threshold": 0.5}
    assert "pii" not in found.detectors.options


@pytest.mark.parametrize("content", [b'{"precision": "float8"}', b'{"precision": "\xff"}'])
def test_a_damaged_decision_is_an_error(settings, content):
    compute_path(settings.home).write_bytes(content)
    with pytest.raises(SettingsError, match="delete the file"):
        decided(settings)
