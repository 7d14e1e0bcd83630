import pytest
from support.cases import cases
from support.executed_lines import executed_lines

from serving.gateway.tenant_settings import guard_settings
from stream.loop.settings import loop_settings
from stream.settings import tenant_settings
from weir.component.process import trace_settings
from weir.errors import SettingsError
from weir.settings import home_folder, load_settings
from weir.settings.detector_options import check_detector_options

CASES = cases(__file__)

SIGNING = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def test_the_default_home_is_in_the_current_folder(tmp_path):
    loaded = load_settings()
    assert loaded.settings.home == tmp_path / ".weir"
    assert loaded.effective()["http.port"] == {"value": 8000, "source": "default"}


def test_the_environment_overrides_the_file_and_the_file_overrides_defaults(write, tmp_path, monkeypatch):
    write('[kafka]\nbroker = "apache"\npartitions = 4\n')
    monkeypatch.setenv("WEIR_KAFKA__BROKER", "embedded")
    loaded = load_settings()
    assert (loaded.settings.kafka.broker, loaded.settings.kafka.partitions) == ("embedded", 4)
    effective = loaded.effective()
    assert effective["kafka.broker"]["source"] == "environment WEIR_KAFKA__BROKER"
    assert effective["kafka.partitions"]["source"] == f"file {tmp_path / 'weir.toml'}"


def test_a_table_in_a_variable_is_the_source_of_its_keys(write, tmp_path, monkeypatch):
    write("[tenants.acme]\nbucket_seconds = 5\n[score]\nexplain_findings = 1\n")
    (tmp_path / "score").write_text('{"workers": 2}\n')
    tables = {
        "WEIR_TENANTS": '{"acme": {"bucket_seconds": 60, "drift": {"reference_events": 40}}}',
        "WEIR_SCORE_FILE": str(tmp_path / "score"),
    }
    for name, value in tables.items():
        monkeypatch.setenv(name, value)
    changed = {key: one for key, one in load_settings().effective().items() if one["source"] != "default"}
    here = {"source": "environment WEIR_TENANTS"}
    file = {"source": f"file {tmp_path / 'weir.toml'}"}
    assert changed == {
        "tenants.acme.bucket_seconds": {"value": 60, **here},
        "tenants.acme.drift.reference_events": {"value": 40, **here},
        "score.workers": {"value": 2, "source": f"file {tmp_path / 'score'} of WEIR_SCORE_FILE"},
        "score.explain_findings": {"value": 1, **file},
    }


def test_variables_of_lists_and_tables_of_tenants_and_options_are_json(monkeypatch):
    monkeypatch.setenv("WEIR_TENANTS__ACME__GUARD", '{"mode": "stop"}')
    monkeypatch.setenv("WEIR_TENANTS__ACME__DRIFT", '{"features": ["words"]}')
    monkeypatch.setenv("WEIR_DETECTORS__OPTIONS__LANGUAGE__EXPECTED", '["de"]')
    loaded = load_settings()
    check_detector_options(loaded)
    assert guard_settings(loaded.settings.tenants)("acme").mode == "stop"
    assert tenant_settings(loaded.settings.tenants, "acme").detector_options("drift") == {"features": ["words"]}
    assert loaded.settings.detectors.options == {"language": {"expected": ["de"]}}


@pytest.mark.parametrize("url", ["", "archive", "/absolute", "s3://bucket/weir"])
def test_a_relative_archive_folder_is_relative_to_the_settings_file(url, write, tmp_path, monkeypatch):
    write(f'[archive]\nurl = "{url}"\n')
    monkeypatch.setenv("WEIR_CONFIG", str(tmp_path / "weir.toml"))
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert load_settings().settings.archive.url == (str(tmp_path / "archive") if url == "archive" else url)


def test_a_byte_order_mark_before_the_settings_is_ignored(write):
    write("\ufeff[tenants.a]\nbucket_seconds = 5\n", encoding="utf-8")
    assert load_settings().settings.tenants == {"a": {"bucket_seconds": 5}}


def test_a_relative_home_is_relative_to_the_settings_file(tmp_path, monkeypatch):
    (tmp_path / "etc").mkdir()
    path = tmp_path / "etc" / "weir.toml"
    path.touch()
    monkeypatch.setenv("WEIR_CONFIG", str(path))
    monkeypatch.setenv("WEIR_HOME", "here")
    assert load_settings().settings.home == tmp_path / "etc" / "here"


@pytest.mark.parametrize("form", ["{}/link", "link", "{}/other/../real"])
def test_a_symbolic_link_names_the_home_that_it_leads_to(tmp_path, monkeypatch, form):
    """Every command finds the processes of a stack by the name of the home."""
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "real")
    monkeypatch.setenv("WEIR_HOME", form.format(tmp_path))
    assert load_settings().settings.home == home_folder() == tmp_path / "real"


def test_a_symbolic_link_to_itself_is_no_home_with_a_traceback(tmp_path, monkeypatch):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    monkeypatch.setenv("WEIR_HOME", "loop")
    assert home_folder() == tmp_path / "loop"


def test_a_tilde_is_the_home_of_the_user(tmp_path, monkeypatch):
    """A shell would replace the tilde, but no shell reads an environment file or weir.toml."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("WEIR_HOME", "~/weir")
    monkeypatch.setenv("WEIR_ARCHIVE__URL", "~/archive")
    settings = load_settings().settings
    assert (settings.home, settings.archive.url) == (tmp_path / "weir", str(tmp_path / "archive"))
    monkeypatch.setenv("WEIR_HOME", "~no-such-user/weir")
    with pytest.raises(SettingsError, match=r"the folder '~no-such-user/weir' .* without ~"):
        load_settings()


def test_an_archive_in_memory_is_an_error(monkeypatch):
    monkeypatch.setenv("WEIR_ARCHIVE__URL", "memory://weir")
    with pytest.raises(SettingsError, match=r"'memory://weir': an archive in memory is lost at the end of the command"):
        load_settings()


def test_a_kafka_server_can_have_no_port(monkeypatch):
    monkeypatch.setenv("WEIR_KAFKA__BOOTSTRAP_SERVERS", "kafka,other:9094")
    assert load_settings().settings.kafka.bootstrap_servers == "kafka,other:9094"


def test_a_variable_that_names_a_model_in_lower_case_does_not_add_a_second_model(write, monkeypatch):
    write('[models."Llama"]\nengine = "upstream"\nbase_url = "http://127.0.0.1:1/v1"\n')
    monkeypatch.setenv("WEIR_MODELS__LLAMA__UPSTREAM_API_KEY", "k")
    with pytest.raises(
        SettingsError, match=r'WEIR_MODELS__LLAMA__UPSTREAM_API_KEY sets models."llama".* has .*\'Llama\''
    ):
        load_settings()
    write('[models.llama]\nengine = "upstream"\nbase_url = "http://127.0.0.1:1/v1"\n')
    assert load_settings().settings.served_models()["llama"].upstream_api_key.get_secret_value() == "k"


def test_a_command_that_needs_only_the_home_works_with_a_wrong_setting(write, tmp_path, monkeypatch):
    write('home = "there"\n[bridge.webhooks.pager]\nurl = "http://127.0.0.1:9"\n')
    with pytest.raises(SettingsError, match=r"secret .* is missing; set it, .* WEIR_BRIDGE__WEBHOOKS__PAGER__SECRET"):
        load_settings()
    monkeypatch.setenv("WEIR_KAFKA__SASL_PASSWORD_FILE", "/nowhere")
    assert home_folder() == tmp_path / "there"
    monkeypatch.setenv("WEIR_HOME", "/elsewhere")
    assert str(home_folder()) == "/elsewhere"
    monkeypatch.setenv("WEIR_HOME", __file__)
    with pytest.raises(SettingsError, match=r"test_load\.py is not a folder; set WEIR_HOME to a folder"):
        home_folder()


@pytest.mark.parametrize(("text", "key", "detail"), CASES["bad_files"])
def test_a_bad_file_is_an_error_with_the_key_the_file_and_the_bounds(write, tmp_path, text, key, detail):
    write(text)
    with pytest.raises(SettingsError, match=detail) as raised:
        load_settings()
    line = next(line for line in str(raised.value).splitlines() if line.startswith(key))
    assert str(tmp_path / "weir.toml") in line
    assert "271828" not in str(raised.value)


def test_a_file_that_is_not_toml_is_named(write, tmp_path):
    write("not toml")
    with pytest.raises(SettingsError, match=str(tmp_path / "weir.toml")):
        load_settings()


@pytest.mark.parametrize(("name", "value", "reported"), CASES["bad_variables"])
def test_a_bad_variable_is_an_error_that_names_it(monkeypatch, name, value, reported):
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=reported):
        load_settings()


@pytest.mark.parametrize(
    "name", ["weir_http__port", "Weir_Http__Port", "weir_http__prot", "weir_htp__port", "weir_home"]
)
def test_a_variable_whose_prefix_has_small_letters_is_an_error_with_its_right_name(monkeypatch, name):
    monkeypatch.setenv(name, "9000")
    with pytest.raises(SettingsError, match=f"^{name} .*; write {name.upper()}, or unset it$"):
        load_settings()


def test_an_error_in_an_item_of_a_list_names_the_variable_of_the_list(monkeypatch):
    monkeypatch.setenv("WEIR_DETECTORS__OUTPUT", "[1]")
    with pytest.raises(SettingsError, match=r"detectors\.output\.0 \(WEIR_DETECTORS__OUTPUT\)"):
        load_settings()


def test_the_variable_of_the_approval_key_is_no_setting(monkeypatch):
    monkeypatch.setenv("WEIR_APPROVAL_KEY", "wk_1")
    load_settings()


def test_every_bad_pattern_is_reported(write):
    write('[tenants."acme.*"]\nbucket_second = 5\n[tenants."demo-*"]\nbucket_seconds = -1\n')
    with pytest.raises(SettingsError) as raised:
        load_settings()
    first, second = str(raised.value).splitlines()
    assert first.startswith('tenants."acme.*".bucket_second (')
    assert second.startswith('tenants."demo-*".bucket_seconds (')
    assert " is -1: " in second


def test_later_tenant_patterns_override_earlier_ones(write):
    write(
        '[tenants."*"]\nbucket_seconds = 10\n[tenants."demo-*"]\nbucket_seconds = 5\n'
        '[tenants."demo-*".retraining]\nevents = 40\n',
    )
    settings = load_settings().settings
    assert tenant_settings(settings.tenants, "acme").bucket_seconds == 10
    assert tenant_settings(settings.tenants, "demo-1").bucket_seconds == 5
    assert tenant_settings(settings.tenants, "demo-1").retraining.events == 40
    assert tenant_settings(settings.tenants, "acme").retraining.events == 200


def test_a_table_of_a_name_and_a_pattern_that_matches_it_apply_in_the_order_of_the_file(write):
    for order, seconds in (("demo-1 demo-*", 5), ("demo-* demo-1", 10)):
        tables = {"demo-1": "bucket_seconds = 10", "demo-*": "bucket_seconds = 5", "demo-2": "bucket_seconds = 20"}
        write("".join(f'[tenants."{name}"]\n{tables[name]}\n' for name in (*order.split(), "demo-2")))
        assert tenant_settings(load_settings().settings.tenants, "demo-1").bucket_seconds == seconds


def test_the_work_for_the_tables_of_tenants_grows_linearly(write):
    work = []
    for number in (50, 100, 200):
        tables = (f'[tenants."tenant-{one}".drift]\nmin_share = 0.1\n' for one in range(number))
        write('[tenants."*"]\nbucket_seconds = 60\n' + "".join(tables))
        work.append(executed_lines(lambda: check_detector_options(load_settings())))
    first, second = work[1] - work[0], work[2] - work[1]
    assert second <= 2.2 * first, "the work for a table depends on the number of the other tables"


def test_sentinels_are_off_by_default_and_can_be_slower_if_alerts_last_longer(write, monkeypatch):
    assert not load_settings().settings.sentinel.enabled
    write("[sentinel]\nevery_seconds = 200\n[tenants._weir.alerts]\nresolve_after_seconds = 400\n")
    monkeypatch.setenv("WEIR_SENTINEL__ENABLED", "true")
    assert load_settings().settings.sentinel.enabled


def test_a_language_of_datasets_can_have_capitals(write):
    write('[tenants.a.loop.dataset]\nlanguages = ["EN", "nds"]\n')
    assert loop_settings(load_settings().settings.tenants, "a").dataset.languages == ("en", "nds")


def test_the_bridge_is_off_until_it_has_a_receiver(write):
    assert not load_settings().settings.bridge.enabled
    write('[bridge]\nalertmanagers = ["http://127.0.0.1:9093"]\n')
    assert load_settings().settings.bridge.enabled


def test_the_secret_of_a_webhook_can_be_in_the_environment_and_is_masked(write, monkeypatch):
    write('[bridge.webhooks.pager]\nurl = "http://127.0.0.1:1/x"\nseverity = "critical"\n')
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
    ("address", "shown"),
    [
        ("https://hooks.example.org/services/T0/hunter2", "https://hooks.example.org/********"),
        ("http://ann:hunter2@127.0.0.1:9?token=hunter2", "http://127.0.0.1:9/********"),
        ("http://127.0.0.1:9/", "http://127.0.0.1:9/"),
    ],
)
def test_a_token_in_the_path_of_a_webhook_is_not_shown(address, shown, write, monkeypatch):
    write(f'[bridge.webhooks.pager]\nurl = "{address}"\n')
    monkeypatch.setenv("WEIR_BRIDGE__WEBHOOKS__PAGER__SECRET", SIGNING)
    effective = load_settings().effective()
    assert effective["bridge.webhooks.pager.url"]["value"] == shown
    assert "hunter2" not in str(effective)


@pytest.mark.parametrize("line", ['pager.url = "{}"', 'pager = "https://{}"'])
def test_a_token_in_the_wrong_url_of_a_webhook_is_not_shown(line, write):
    write("[bridge.webhooks]\n" + line.format("hooks.example.org/services/T0/hunter2"))
    with pytest.raises(SettingsError, match=r"bridge\.webhooks\.pager") as raised:
        load_settings()
    assert "hunter2" not in str(raised.value)


def test_no_password_is_shown(monkeypatch):
    for name, value in CASES["credentials"]:
        monkeypatch.setenv(name, value)
    loaded = load_settings()
    effective = loaded.effective()
    assert "hunter2" not in str(effective) + repr(loaded)
    assert effective["kafka.sasl_password"]["value"] == "********"
    assert effective["bridge.alertmanagers"]["value"] == ["http://127.0.0.1:9093"]
    assert effective["trace.endpoint"]["value"] == "http://127.0.0.1:5000/v1/traces"
    traces = trace_settings(loaded.settings, {})
    assert (traces.endpoint, list(traces.headers)) == ("http://127.0.0.1:5000/v1/traces", ["authorization"])


def test_no_secret_of_vllm_is_shown(write):
    write(
        '[model]\nengine = "vllm"\n[model.llm_config.runtime_env.env_vars]\nHF_TOKEN = "hunter2"\n'
        '[model.engine_kwargs]\nhf_token = "hunter2"\nmax_num_batched_tokens = 2048\nlong_prefill_token_threshold = 9\n'
        '[model.prefill.engine_kwargs]\napi_key = ["hunter2"]\n'
    )
    effective = load_settings().effective()
    for key in (
        "llm_config.runtime_env.env_vars.HF_TOKEN",
        "engine_kwargs.hf_token",
        "prefill.engine_kwargs.api_key",
    ):
        assert effective[f"model.{key}"]["value"] == "********"
    assert effective["model.engine_kwargs.max_num_batched_tokens"]["value"] == 2048
    assert effective["model.engine_kwargs.long_prefill_token_threshold"]["value"] == 9
    assert "hunter2" not in str(effective)


@pytest.mark.parametrize("key", ["archive.url", "train.storage"])
def test_no_password_in_an_address_of_files_is_shown(key, write, monkeypatch):
    write('[train]\ncluster = "ray"\naddress = "10.0.0.5:6379"\n')
    name = f"WEIR_{key.upper().replace('.', '__')}"
    for address, shown in {
        "sftp://ann:hunter2@host/weir": "********@host/weir",
        "s3://bucket/weir": "s3://bucket/weir",
        "/data/a@b:c": "/data/a@b:c",
    }.items():
        monkeypatch.setenv(name, address)
        assert load_settings().effective()[key]["value"] == shown


@pytest.mark.parametrize(("name", "value"), CASES["refused_addresses"])
def test_no_password_of_an_invalid_address_is_shown(monkeypatch, name, value):
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=r"127\.0\.0\.1") as raised:
        load_settings()
    assert "hunter2" not in str(raised.value)
