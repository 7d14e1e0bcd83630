"""Values that come from files which variables name."""

import os

import pytest

from weir.errors import SettingsError
from weir.settings import load_settings

NAME = "WEIR_KAFKA__SASL_PASSWORD_FILE"


@pytest.fixture
def secret(tmp_path, monkeypatch):
    for name in [name for name in os.environ if name.startswith("WEIR_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "password"
    path.write_text("hunter2\n")
    monkeypatch.setenv(NAME, str(path))
    return path


def test_a_variable_that_ends_in_file_names_the_value_s_file(secret):
    loaded = load_settings()
    assert loaded.settings.kafka.sasl_password.get_secret_value() == "hunter2"
    assert loaded.effective()["kafka.sasl_password"] == {"value": "********", "source": f"file {secret} of {NAME}"}


def test_it_wins_over_the_settings_file_as_a_variable_does(secret, tmp_path):
    (tmp_path / "weir.toml").write_text('[kafka]\nsasl_password = "old"\nsasl_username = "score"\n')
    kafka = load_settings().settings.kafka
    assert (kafka.sasl_username, kafka.sasl_password.get_secret_value()) == ("score", "hunter2")


def test_any_key_can_come_from_a_file(secret, monkeypatch):
    secret.write_text("9099\n")
    monkeypatch.delenv(NAME)
    monkeypatch.setenv("WEIR_HTTP__PORT_FILE", str(secret))
    assert load_settings().settings.http.port == 9099


def test_a_list_or_a_table_from_a_file_is_json_as_in_a_variable(secret, monkeypatch):
    monkeypatch.delenv(NAME)
    secret.write_text('["http://ann:hunter2@127.0.0.1:9093", "http://127.0.0.1:9094"]\n')
    monkeypatch.setenv("WEIR_BRIDGE__ALERTMANAGERS_FILE", str(secret))
    loaded = load_settings()
    assert list(map(str, loaded.settings.bridge.alertmanagers)) == ["http://127.0.0.1:9093", "http://127.0.0.1:9094"]
    assert loaded.sources["bridge.alertmanagers"] == f"file {secret} of WEIR_BRIDGE__ALERTMANAGERS_FILE"


def test_home_can_come_from_a_file(secret, monkeypatch, tmp_path):
    monkeypatch.delenv(NAME)
    secret.write_text(f"{tmp_path}/elsewhere\n")
    monkeypatch.setenv("WEIR_HOME_FILE", str(secret))
    assert load_settings().settings.home == tmp_path / "elsewhere"


def test_both_at_once_are_refused(secret, monkeypatch):
    monkeypatch.setenv("WEIR_KAFKA__SASL_PASSWORD", "other")
    with pytest.raises(SettingsError, match=f"set by WEIR_KAFKA__SASL_PASSWORD and by {NAME}; unset one"):
        load_settings()


def test_a_file_that_is_not_there_is_named(secret):
    secret.unlink()
    with pytest.raises(SettingsError, match=f"{NAME} names {secret}, which cannot be read .*No such file"):
        load_settings()


def test_an_unknown_key_is_an_error_that_names_the_variable(secret, monkeypatch):
    monkeypatch.setenv("WEIR_KAFKA__PASWORD_FILE", str(secret))
    with pytest.raises(SettingsError, match=r"kafka\.pasword \(WEIR_KAFKA__PASWORD_FILE\): unknown key"):
        load_settings()


def test_a_bad_value_is_not_shown(secret, monkeypatch):
    monkeypatch.setenv("WEIR_NOSUCH__KEY_FILE", str(secret))
    with pytest.raises(SettingsError, match="WEIR_NOSUCH__KEY_FILE sets the unknown section 'nosuch'") as caught:
        load_settings()
    assert "hunter2" not in str(caught.value)
