"""The names of versions on the command line of a replay."""

import re

import pytest

from detectors.pii.detector import PiiDetector
from detectors.text.toxicity import ToxicityDetector
from stream.errors import ReplayError
from stream.replay.versions import Versions, create_version, stream_version
from stream.settings import DetectorSettings, TenantSettings
from weir.errors import SettingsError
from weir.settings import load_settings

SETTINGS = DetectorSettings(
    options={"pii": {"entities": False}},
    variants={"pii@strict": {"threshold": 0.8}, "drift@eager": {"alarm_every_events": 50}, "pii@bad": {"treshold": 1}},
)
KNOWN = Versions(SETTINGS)


@pytest.mark.parametrize("name", ["pii", "pii@installed", f"pii@{PiiDetector.version}"])
def test_the_installed_version_has_three_names(name):
    found = KNOWN.resolve(name)
    assert (found.detector, found.label, found.version) == ("pii", "installed", PiiDetector.version)
    assert (found.options, found.threshold) == ({"entities": False}, KNOWN.resolve("pii").threshold)


def test_a_variant_overrides_options_and_its_version_names_it():
    found = KNOWN.resolve("pii@strict")
    assert (found.name, found.version, found.threshold) == ("pii@strict", f"{PiiDetector.version}/strict", 0.8)
    assert found.options == {"entities": False, "threshold": 0.8}
    assert create_version(found.name, found.options).config.threshold == 0.8


def test_a_variant_of_a_stream_detector_overrides_each_tenants_options():
    found = KNOWN.resolve("drift@eager")
    tenant = TenantSettings.model_validate({"drift": {"reference_events": 30, "alarm_every_events": 1000}})
    assert found.options == {"alarm_every_events": 50}
    config = stream_version(found, tenant).config
    assert (config.reference_events, config.alarm_every_events) == (30, 50)


def test_a_threshold_of_zero_is_the_shipped_one_and_the_recorded_version_is_not_created():
    assert KNOWN.resolve("toxicity").threshold == ToxicityDetector.threshold
    recorded = KNOWN.resolve("toxicity@recorded")
    assert (recorded.recorded, recorded.version) == (True, "")


@pytest.mark.parametrize(
    ("name", "error"),
    [
        (
            "pii@none",
            rf"choose one of pii@installed \({re.escape(PiiDetector.version)}\), pii@strict, pii@bad, pii@recorded",
        ),
        (
            "profanity",
            "no detector that alerts is named 'profanity': choose one of anomaly, .*drift, .*injection, .*pii, .*sentinel, .*toxicity",
        ),
        ("installed", "'installed' is a version, not a detector: write DETECTOR@installed, such as toxicity@installed"),
        ("refusal", "the scores of refusal are features"),
        ("pii@bad", "has no option 'treshold': its options are .*threshold"),
        ("drift@eagre", r"drift@eager"),
    ],
)
def test_an_error_lists_the_versions_that_can_be_run(name, error):
    with pytest.raises(ReplayError, match=error):
        KNOWN.resolve(name)


@pytest.mark.parametrize("name", ["strict", "pii@", "pii@installed", "pii@recorded", "@x", "pii@a b"])
def test_a_variant_with_a_bad_name_is_an_error(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "weir.toml").write_text(f'[detectors.variants."{name}"]\nthreshold = 0.9\n')
    with pytest.raises(SettingsError, match=r"detectors\.variants .*is not NAME@VARIANT"):
        load_settings()
