import os

import pytest

from weir.component.process import trace_settings
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
        ("[kafka]\nbrokre = 1\n", r"kafka\.brokre .*unknown key; known here are .*broker, topic_prefix"),
        ("[nonsense]\n", "nonsense .*unknown key; known here are home, kafka"),
        (
            "[http]\nport = 99999\n",
            r"http\.port .* is 99999: .*less than or equal to 65535; set it within that, or unset",
        ),
        ("http = 3\n", r"http \(.*weir\.toml\): Input should be a valid dictionary"),
        ('[tenants."a"]\nbucket = 1\n', r'tenants\."a"\.bucket .*unknown key; known here are bucket_seconds, alerts'),
        (
            '[tenants."a".alerts]\nopen_windows = 0\n',
            r'tenants\."a"\.alerts\.open_windows .* is 0: .*equal to 1; set it',
        ),
        ('[tenants."a".alerts]\nx = 0\n', r'tenants\."a"\.alerts\.x .*unknown key; known here are open_windows'),
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


def test_every_bad_pattern_is_reported(tmp_path):
    write(tmp_path, '[tenants."acme.*"]\nbucket_second = 5\n[tenants."demo-*"]\nbucket_seconds = -1\n')
    with pytest.raises(SettingsError) as raised:
        load_settings()
    first, second = str(raised.value).splitlines()
    assert first.startswith('tenants."acme.*".bucket_second (')
    assert second.startswith('tenants."demo-*".bucket_seconds (')
    assert " is -1: " in second


def test_a_secret_of_the_wrong_kind_is_not_shown(tmp_path):
    write(tmp_path, "[kafka]\nsasl_password = 271828\n")
    with pytest.raises(
        SettingsError, match=r"kafka\.sasl_password .* is \*{8}: Input should be a valid string"
    ) as raised:
        load_settings()
    assert "271828" not in str(raised.value)


@pytest.mark.parametrize(("name", "value"), [("WEIR_KAFKA", "here"), ("WEIR_DETECTORS__INPUT", "pii,toxicity")])
def test_a_variable_that_is_to_be_json_says_so(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=r"(kafka|detectors).*give it as JSON, or one key at a time"):
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


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[sentinel]\nenabled = true\nevery_seconds = 200\n", "every_seconds is 200, the bound is 150"),
        ("[sentinel]\nenabled = true\n[capture]\nenabled = false\n", "capture.enabled false"),
        ("[sentinel]\nevery_second = 1\n", "unknown key"),
    ],
)
def test_sentinels_that_could_not_alert_are_refused(tmp_path, text, said):
    write(tmp_path, text)
    with pytest.raises(SettingsError, match=said):
        load_settings()


def test_sentinels_are_off_and_may_be_slower_where_alerts_last_longer(tmp_path, monkeypatch):
    assert not load_settings().settings.sentinel.enabled
    write(tmp_path, "[sentinel]\nevery_seconds = 200\n[tenants._weir.alerts]\nresolve_after_seconds = 400\n")
    monkeypatch.setenv("WEIR_SENTINEL__ENABLED", "true")
    assert load_settings().settings.sentinel.enabled


WEBHOOK = '[bridge.webhooks.pager]\nurl = "http://127.0.0.1:1/x"\nsecret = "{}"\n'
SIGNING = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def test_the_bridge_is_off_until_somebody_is_to_be_told(tmp_path):
    assert not load_settings().settings.bridge.enabled
    write(tmp_path, '[bridge]\nalertmanagers = ["http://127.0.0.1:9093"]\n')
    assert load_settings().settings.bridge.enabled


def test_a_webhooks_secret_may_come_from_the_environment_and_is_masked(tmp_path, monkeypatch):
    write(tmp_path, '[bridge.webhooks.pager]\nurl = "http://127.0.0.1:1/x"\nseverity = "critical"\n')
    monkeypatch.setenv("WEIR_BRIDGE__WEBHOOKS__PAGER__SECRET", SIGNING)
    loaded = load_settings()
    pager = loaded.settings.bridge.webhooks["pager"]
    assert (pager.secret.get_secret_value(), pager.severity, pager.tenants) == (SIGNING, "critical", "*")
    effective = loaded.effective()
    assert effective["bridge.webhooks.pager.secret"] == {
        "value": "********",
        "source": "environment WEIR_BRIDGE__WEBHOOKS__PAGER__SECRET",
    }
    assert SIGNING not in str(effective)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (WEBHOOK.format("271828"), r"bridge\.webhooks\.pager\.secret .* is \*{8}: .*make one"),
        (WEBHOOK.format(SIGNING) + 'url2 = "x"\n', r"pager\.url2 .*unknown key; known here are url, secret"),
        ('[bridge.webhooks."Pager 1"]\nurl = "http://x"\n', "Pager 1"),
        ("[bridge]\nresend_seconds = 10\n", r"bridge\.resend_seconds .* is 10: .*greater than or equal to 30"),
        ('[bridge]\nalertmanagers = ["alertmanager:9093"]\n', r"bridge\.alertmanagers"),
    ],
)
def test_a_bridge_that_could_not_tell_is_refused(tmp_path, text, said):
    write(tmp_path, text)
    with pytest.raises(SettingsError, match=said) as raised:
        load_settings()
    assert "271828" not in str(raised.value)


CREDENTIALS = {
    "WEIR_BRIDGE__ALERTMANAGERS": '["http://ann:hunter2@127.0.0.1:9093"]',
    "WEIR_BRIDGE__WEBHOOKS__PAGER__URL": "https://ann:hunter2@pager.example/hook",
    "WEIR_BRIDGE__WEBHOOKS__PAGER__SECRET": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
    "WEIR_TRACE__ENDPOINT": "http://ann:hunter2@127.0.0.1:5000/v1/traces",
}


def test_no_password_of_an_address_is_shown(monkeypatch):
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)
    loaded = load_settings()
    effective = loaded.effective()
    assert "hunter2" not in str(effective) + repr(loaded)
    assert effective["bridge.alertmanagers"]["value"] == "http://127.0.0.1:9093"
    assert effective["trace.endpoint"]["value"] == "http://127.0.0.1:5000/v1/traces"
    sent = trace_settings(loaded.settings, {})
    assert (sent.endpoint, list(sent.headers)) == ("http://127.0.0.1:5000/v1/traces", ["authorization"])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("WEIR_BRIDGE__ALERTMANAGERS", '["htp://ann:hunter2@127.0.0.1:9093"]'),
        ("WEIR_BRIDGE__ALERTMANAGERS", '["http://ann:hunter2/3@127.0.0.1:9093"]'),
        ("WEIR_TRACE__ENDPOINT", "ann:hunter2@127.0.0.1:5000"),
        ("WEIR_TRACE__VIEW", "http://ann:hunter2@127.0.0.1:5000/{trace_id}"),
        ("WEIR_BRIDGE__WEBHOOKS", '{"http://ann:hunter2@127.0.0.1": {"url": "ftp://127.0.0.1"}}'),
        ("WEIR_KAFKA__BOOTSTRAP_SERVERS", "ann:hunter2@127.0.0.1:9092"),
    ],
)
def test_nor_is_one_of_an_address_that_is_refused(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=r"127\.0\.0\.1") as raised:
        load_settings()
    assert "hunter2" not in str(raised.value)
