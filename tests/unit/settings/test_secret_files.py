"""Values from files: a variable that ends in _FILE names the file."""

import pytest

from weir.errors import SettingsError
from weir.settings import load_settings

A, B = "http://127.0.0.1:9093", "http://127.0.0.1:9094"
NAME = "WEIR_KAFKA__SASL_PASSWORD_FILE"


@pytest.fixture
def secret(tmp_path, monkeypatch):
    path = tmp_path / "password"
    path.write_text("hunter2\n")
    monkeypatch.setenv(NAME, str(path))
    return path


def test_a_variable_that_ends_in_file_names_the_file_of_the_value(secret):
    loaded = load_settings()
    assert loaded.settings.kafka.sasl_password.get_secret_value() == "hunter2"
    assert loaded.effective()["kafka.sasl_password"] == {"value": "********", "source": f"file {secret} of {NAME}"}


def test_the_value_from_a_file_overrides_the_settings_file(secret, write):
    write('[kafka]\nsecurity_protocol = "SASL_SSL"\nsasl_password = "old"\nsasl_username = "score"\n')
    kafka = load_settings().settings.kafka
    assert (kafka.sasl_username, kafka.sasl_password.get_secret_value()) == ("score", "hunter2")


@pytest.mark.parametrize(
    ("variable", "text", "setting"),
    [
        ("WEIR_HTTP__PORT_FILE", "9099\n", ("http.port", 9099)),
        ("WEIR_HOME_FILE", "/srv/elsewhere\n", ("home", "/srv/elsewhere")),
        ("WEIR_BRIDGE__ALERTMANAGERS_FILE", f'["{A}", "{B}"]\n', ("bridge.alertmanagers", [A, B])),
    ],
)
def test_any_key_can_be_read_from_a_file(secret, monkeypatch, variable, text, setting):
    key, value = setting
    secret.write_text(text)
    monkeypatch.delenv(NAME)
    monkeypatch.setenv(variable, str(secret))
    assert load_settings().effective()[key] == {"value": value, "source": f"file {secret} of {variable}"}


@pytest.mark.parametrize(
    ("variable", "reported"),
    [
        ("WEIR_KAFKA__SASL_PASSWORD", f"WEIR_KAFKA__SASL_PASSWORD and by {NAME}"),
        ("WEIR_KAFKA__PASWORD_FILE", r"kafka\.pasword \(WEIR_KAFKA__PASWORD_FILE\): unknown key"),
        ("WEIR_NOSUCH__KEY_FILE", "WEIR_NOSUCH__KEY_FILE .*'nosuch'"),
    ],
)
def test_a_wrong_variable_is_named_without_the_value(secret, monkeypatch, variable, reported):
    monkeypatch.setenv(variable, str(secret))
    with pytest.raises(SettingsError, match=reported) as raised:
        load_settings()
    assert "hunter2" not in str(raised.value)


def test_a_missing_file_is_named(secret):
    secret.unlink()
    with pytest.raises(SettingsError, match=f"{NAME} names {secret}.*No such file"):
        load_settings()
