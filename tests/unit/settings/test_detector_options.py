"""The check of detector options, which finds wrong options before a detector runs."""

import subprocess
import sys

import pytest
from click.testing import CliRunner
from support.cases import cases

from detectors.registry import TEXT
from weir.cli import main
from weir.component.process import running
from weir.errors import SettingsError
from weir.local.doctor import diagnose
from weir.settings import load_settings
from weir.settings.detector_options import check_detector_options

CASES = cases(__file__)

BAD = '[tenants."acme-*".drift]\nalarm_every_event = 5\n'


@pytest.mark.parametrize(("text", "reported"), CASES["wrong_options"])
def test_a_wrong_option_is_an_error_with_its_name_value_and_bounds(write, text, reported):
    write(text)
    with pytest.raises(SettingsError, match=reported):
        check_detector_options(load_settings())


def test_an_option_that_needs_another_is_valid_only_with_it(write):
    alone = '[detectors.options.toxicity]\nweights = "own.safetensors"\n'
    write(alone + f'weights_sha256 = "{"0" * 64}"\n')
    check_detector_options(load_settings())
    write(alone)
    with pytest.raises(SettingsError, match=r"toxicity: weights is 'own.safetensors'"):
        check_detector_options(load_settings())


def test_a_detector_that_compares_with_prompts_needs_recorded_prompts(write):
    write('[detectors]\noutput = ["pii", "language"]\n')
    with pytest.raises(SettingsError, match=r"detectors\.output .*language.* 2000 .*context_characters is 0"):
        check_detector_options(load_settings())
    write('[detectors]\noutput = ["pii", "language"]\ncontext_characters = 2000\n')
    check_detector_options(load_settings())
    write('[detectors]\noutput = ["language"]\n[detectors.options.language]\nexpected = ["en"]\n')
    check_detector_options(load_settings())


@pytest.mark.parametrize("name", [name for name, detector in TEXT.items() if detector.sides != ("input", "output")])
def test_a_detector_on_a_side_that_it_does_not_read_is_an_error(monkeypatch, name):
    (reads,) = TEXT[name].sides
    other = {"input": "output", "output": "input"}[reads]
    monkeypatch.setenv(f"WEIR_DETECTORS__{other.upper()}", f'["pii", "{name}"]')
    with pytest.raises(
        SettingsError, match=rf"^detectors\.{other} \(environment WEIR_.*\) has '{name}'.*detectors\.{reads}$"
    ):
        check_detector_options(load_settings())


def test_a_detector_that_compares_with_prompts_is_an_error_for_prompts(write):
    enabled = '[detectors]\ninput = ["pii", "language"]\ncontext_characters = 2000\n'
    write(enabled)
    with pytest.raises(
        SettingsError, match=r"detectors\.input .*'language'.* flag no prompt; move it to detectors\.output"
    ):
        check_detector_options(load_settings())
    write(enabled + '[detectors.options.language]\nexpected = ["en"]\n')
    check_detector_options(load_settings())


def test_each_bad_option_has_a_line_with_the_pattern_and_the_source(write, tmp_path, monkeypatch):
    write(BAD + '[tenants."a.b".anomaly]\nseed = "x"\n')
    monkeypatch.setenv("WEIR_DETECTORS__OPTIONS", '{"pii": {"threshold": 2}}')
    with pytest.raises(SettingsError) as raised:
        check_detector_options(load_settings())
    assert [line.split(" is ")[0] for line in str(raised.value).splitlines()] == [
        "detectors.options.pii.threshold (environment WEIR_DETECTORS__OPTIONS)",
        f'tenants."acme-*".drift.alarm_every_event (file {tmp_path / "weir.toml"})',
        f'tenants."a.b".anomaly.seed (file {tmp_path / "weir.toml"})',
    ]


def test_valid_options_pass(write):
    write(
        '[tenants."*".drift]\nfeatures = ["words"]\nembedding_share = 0.5\n'
        '[tenants."b"]\nbucket_seconds = 5\n[detectors.options.toxicity]\nthreshold = 0.9\n'
        '[tenants."*".bias]\nmin_sentiment = 0.2\n[tenants._weir.sentinel]\nadopt_events = 100\n'
        '[tenants."c".anomaly]\nmethod = "page-hinkley"\nmethod_threshold = 50\n'
        f'[detectors.variants."toxicity@own"]\nweights = "own.safetensors"\nweights_sha256 = "{"0" * 64}"\n'
        '[detectors.variants."drift@page"]\nmethod = "page-hinkley"\n'
    )
    check_detector_options(load_settings())


@pytest.mark.parametrize(
    "command", [["config"], ["up"], ["replay", "--from", "1h", "--detector", "pii"]], ids=lambda command: command[0]
)
def test_a_wrong_option_is_an_error_in_commands(write, tmp_path, command):
    write(BAD)
    done = CliRunner().invoke(main, command)
    assert done.exit_code == 1
    assert done.stderr.startswith('weir: tenants."acme-*".drift.alarm_every_event (')
    assert not (tmp_path / ".weir").exists()


def test_the_doctor_reports_a_wrong_option(write):
    write(BAD)
    (settings,) = [check for check in diagnose() if check.check == "settings"]
    assert not settings.ok
    assert "alarm_every_event" in settings.detail


@pytest.mark.parametrize("name", ["score", "watch"])
def test_components_with_detectors_do_not_start(write, name):
    write(BAD)
    with pytest.raises(SettingsError, match="alarm_every_event"), running(name):
        pass


def test_settings_without_options_import_no_detector(write):
    look = "from weir.settings.detector_options import *; from weir.settings import *; check_detector_options(load_settings()); import sys"
    code = f"{look}; assert not {{'detectors.registry', 'river', 'torch'}} & sys.modules.keys()"
    subprocess.run([sys.executable, "-c", code], check=True)
