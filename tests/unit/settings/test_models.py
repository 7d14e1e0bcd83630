"""``[models."NAME"]``: several served models, instead of ``[model]``."""

import pytest

from weir.errors import SettingsError
from weir.settings import load_settings

_TWO = """
[models."small"]
name = "smollm2-135m-instruct"
slots = 4
[models."gpt-4.1"]
engine = "upstream"
base_url = "https://models.example/v1"
"""


@pytest.fixture
def load(tmp_path, monkeypatch):
    def loaded(text, **environment):
        path = tmp_path / "weir.toml"
        path.write_text(text)
        monkeypatch.setenv("WEIR_CONFIG", str(path))
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        return load_settings()

    return loaded


def test_each_table_is_a_model_whose_weights_have_its_name_by_default(load):
    settings = load(_TWO + '[models."echo"]\n').settings
    models = settings.served_models()
    assert {name: model.name for name, model in models.items()} == {
        "small": "smollm2-135m-instruct",
        "gpt-4.1": "gpt-4.1",
        "echo": "echo",
    }
    assert settings.first_model == "small"
    assert models["small"].slots == 4


@pytest.mark.parametrize(("fields", "engine"), [("", "echo"), ('engine = "openvino"\n', "openvino")])
def test_the_engine_of_the_model_echo_is_echo_unless_another_is_set(load, fields, engine):
    assert load(f'[models."echo"]\n{fields}').settings.served_models()["echo"].engine == engine
    assert load(f'[model]\nname = "echo"\n{fields}').settings.model.engine == engine


def test_without_tables_the_one_model_is_served(load):
    assert list(load('[model]\nname = "echo"\n').settings.served_models()) == ["echo"]


def test_model_and_models_together_are_an_error_that_names_the_key(load):
    with pytest.raises(SettingsError, match=r"model\.slots is set too, but \[models\] replaces \[model\]"):
        load(_TWO, WEIR_MODEL__SLOTS="3")


def test_the_cache_of_a_container_image_is_used_by_every_table_without_its_own(load):
    models = load(_TWO + '[models."other"]\ncache = "/own"\n', WEIR_MODEL__CACHE="/image").settings.served_models()
    assert {name: model.cache for name, model in models.items()} == {
        "small": "/image",
        "gpt-4.1": "/image",
        "other": "/own",
    }


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ("engine = 'upstream'", "the engine upstream needs a base_url"),
        ("images = true", "images is set, but engine is 'auto'; set engine to 'upstream' or 'vllm'"),
        ("base_url = 'http://127.0.0.1:1/v1'", "the others have none"),
        ("slot = 3", 'models."x".slot .*unknown key'),
    ],
)
def test_a_wrong_table_is_an_error(load, table, problem):
    with pytest.raises(SettingsError, match=problem):
        load(f'[models."x"]\n{table}\n')


@pytest.mark.parametrize(
    "address",
    [
        "http://127.0.0.1:1",
        "http://127.0.0.1:1/",
        "http://127.0.0.1:99999/v1",
        "http://[::1/v1",
        "http:///v1",
        "127.0.0.1:1/v1",
        "https://user:secret@models.example/v1",
        "https://models.example/v1?key=1",
        "https://models.example/v1/chat/completions",
    ],
)
def test_an_address_to_which_no_path_can_be_appended_is_an_error_with_the_fix(load, address):
    with pytest.raises(
        SettingsError, match=r"base_url .*; name the server's base URL, such as http://\S+/v1$"
    ) as error:
        load(f'[models."x"]\nengine = "upstream"\nbase_url = "{address}"\n')
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    "address", ["https://models.example/v1", "https://models.example/v1beta/openai", "http://[::1]:1/a/v1"]
)
@pytest.mark.parametrize("end", ["", "/", "//"])
def test_slashes_at_the_end_of_a_base_url_are_removed(load, address, end):
    models = load(f'[models."x"]\nengine = "upstream"\nbase_url = "{address}{end}"\n').settings.models
    assert models["x"].base_url == address


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("WEIR_MODELS__GPT__UPSTREAM_API_KEY_FILE", "sk-hidden\n"),
        ("WEIR_MODELS_FILE", '{"gpt": {"upstream_api_key": "sk-hidden"}}'),
    ],
)
def test_the_key_of_an_upstream_is_read_from_a_file_and_not_shown(load, tmp_path, variable, text):
    key = tmp_path / "key"
    key.write_text(text)
    loaded = load(_TWO.replace("gpt-4.1", "gpt"), **{variable: str(key)})
    assert loaded.settings.models["gpt"].upstream_api_key.get_secret_value() == "sk-hidden"
    assert "sk-hidden" not in repr(loaded)


def test_a_key_for_a_name_that_is_no_upstream_model_is_an_error_that_names_the_variable(load):
    with pytest.raises(
        SettingsError, match=r'"gpt_4" \(WEIR_MODELS__GPT_4__UPSTREAM_API_KEY.*upstream_api_key is set, but engine is'
    ) as error:
        load(_TWO, WEIR_MODELS__GPT_4__UPSTREAM_API_KEY="sk-hidden")
    assert "sk-hidden" not in str(error.value)


@pytest.mark.parametrize("other", ["[models.'b'.lora]\n'help' = '/adapters/2'", "[models.'help']"])
def test_two_models_or_adapters_with_one_name_are_an_error(load, other):
    adapter = (
        "[models.'a']\nengine = 'vllm'\n[models.'a'.lora]\n'help' = '/adapters/1'\n[models.'b']\nengine = 'vllm'\n"
    )
    with pytest.raises(SettingsError, match="'help' is the name of two models or LoRA adapters"):
        load(f"{adapter}{other}\n")


@pytest.mark.parametrize("key", ["sk-\N{HORIZONTAL ELLIPSIS}1234", "sk-1234\r", " sk-1234"])
def test_a_key_that_no_header_can_contain_is_an_error_without_the_key(load, key):
    with pytest.raises(SettingsError, match=r'"gpt".upstream_api_key .* is \*+: it has a space') as error:
        load(_TWO.replace("gpt-4.1", "gpt"), WEIR_MODELS__GPT__UPSTREAM_API_KEY=key)
    assert "1234" not in str(error.value)


@pytest.mark.parametrize(("images", "largest"), [("true", 4 * 1024 * 1024), ("false", 512 * 1024)])
def test_with_a_model_that_accepts_images_the_largest_body_is_the_limit_of_images(load, images, largest):
    assert load(f"{_TWO}images = {images}\n").settings.largest_body_bytes == largest
