import os

import pytest

from weir.errors import SettingsError
from weir.settings import load_settings


@pytest.fixture(autouse=True)
def _clean(monkeypatch, tmp_path):
    for name in [name for name in os.environ if name.startswith("WEIR_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def write(tmp_path, text):
    path = tmp_path / "weir.toml"
    path.write_text(text)
    return path


def test_defaults_live_in_the_current_folder(tmp_path):
    loaded = load_settings()
    assert loaded.settings.home == tmp_path / ".weir"
    assert loaded.effective()["http.port"] == {"value": "8000", "source": "default"}


def test_environment_wins_over_file_wins_over_default(tmp_path, monkeypatch):
    path = write(tmp_path, '[kafka]\nbroker = "apache"\npartitions = 4\n')
    monkeypatch.setenv("WEIR_KAFKA__BROKER", "embedded")
    loaded = load_settings()
    assert (loaded.settings.kafka.broker, loaded.settings.kafka.partitions) == ("embedded", 4)
    effective = loaded.effective()
    assert effective["kafka.broker"]["source"] == "environment WEIR_KAFKA__BROKER"
    assert effective["kafka.partitions"]["source"] == f"file {path}"


def test_home_resolves_beside_the_file(tmp_path, monkeypatch):
    (tmp_path / "etc").mkdir()
    path = write(tmp_path / "etc", "")
    monkeypatch.setenv("WEIR_CONFIG", str(path))
    monkeypatch.setenv("WEIR_HOME", "here")
    assert load_settings().settings.home == tmp_path / "etc" / "here"


def test_secrets_are_masked(monkeypatch):
    monkeypatch.setenv("WEIR_KAFKA__SASL_PASSWORD", "hunter2")
    effective = load_settings().effective()
    assert "hunter2" not in str(effective)
    assert effective["kafka.sasl_password"]["value"] == "********"


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("[kafka]\nbrokre = 1\n", r"kafka\.brokre .*unknown key"),
        ("[nonsense]\n", "nonsense .*unknown key"),
        ("[http]\nport = 99999\n", r"http\.port .*less than or equal to 65535"),
        ('[tenants."a"]\nbucket = 1\n', "tenants"),
        ("not toml", "is no TOML"),
    ],
)
def test_a_bad_file_is_an_error_that_names_the_key(tmp_path, text, match):
    write(tmp_path, text)
    with pytest.raises(SettingsError, match=match):
        load_settings()


def test_a_bad_variable_is_an_error_that_names_it(monkeypatch):
    monkeypatch.setenv("WEIR_KAFKA__BROKER", "rabbit")
    with pytest.raises(SettingsError, match="WEIR_KAFKA__BROKER"):
        load_settings()
    monkeypatch.delenv("WEIR_KAFKA__BROKER")
    monkeypatch.setenv("WEIR_KAFAK__BROKER", "apache")
    with pytest.raises(SettingsError, match="WEIR_KAFAK__BROKER"):
        load_settings()


def test_a_named_file_must_exist(monkeypatch):
    monkeypatch.setenv("WEIR_CONFIG", "nowhere.toml")
    with pytest.raises(SettingsError, match=r"nowhere\.toml"):
        load_settings()


def test_tenant_patterns_overlay_in_order(tmp_path):
    write(
        tmp_path,
        '[tenants."*"]\nbucket_seconds = 10\n[tenants."demo-*"]\nbucket_seconds = 5\n'
        '[tenants."demo-*".retraining]\nevents = 40\n',
    )
    settings = load_settings().settings
    assert settings.tenant("acme").bucket_seconds == 10
    assert settings.tenant("demo-1").bucket_seconds == 5
    assert settings.tenant("demo-1").retraining.events == 40
    assert settings.tenant("acme").retraining.events == 200
