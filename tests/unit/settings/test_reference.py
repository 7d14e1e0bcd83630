from pathlib import Path

import pytest
from click.testing import CliRunner
from pydantic import BaseModel

from stream.settings import TenantSettings
from weir.cli.config import config
from weir.settings import Settings, load_settings
from weir.settings.reference import reference

PAGE = Path(__file__).parents[3] / "docs" / "configuration.md"
SECTIONS = {
    name: field.annotation for name, field in Settings.model_fields.items() if name not in {"home", "tenants", "models"}
}


def test_the_committed_page_is_up_to_date():
    assert PAGE.read_text(encoding="utf-8") == reference(), "run `make reference` and commit docs/configuration.md"


def test_the_command_prints_the_reference_with_invalid_settings(monkeypatch):
    monkeypatch.setenv("WEIR_KAFKA__PARTITIONS", "0")
    result = CliRunner().invoke(config, ["--reference"])
    assert (result.exit_code, result.output) == (0, reference())


@pytest.mark.parametrize("section", [*SECTIONS.values(), TenantSettings], ids=lambda section: section.__name__)
def test_every_key_has_a_description(section):
    inner = [field.annotation for field in section.model_fields.values()]
    nested = [one for one in inner if isinstance(one, type) and issubclass(one, BaseModel)]
    for one in (section, *nested):
        assert [key for key, field in one.model_fields.items() if not field.description] == []


def test_every_key_of_a_section_is_on_the_page_with_its_variable(monkeypatch):
    page = reference()
    needed = {"KAFKA__SECURITY_PROTOCOL": "SASL_SSL", "TRAIN__CLUSTER": "ray", "TRAIN__ADDRESS": "10.0.0.5:6379"}
    for name, value in needed.items():
        monkeypatch.setenv(f"WEIR_{name}", value)
    for name, section in SECTIONS.items():
        for key, field in section.model_fields.items():
            variable = f"WEIR_{name.upper()}__{key.upper()}"
            assert f"| `{key}` | `{variable}` |" in page
            if field.annotation is str and not field.metadata:
                with monkeypatch.context() as patch:
                    patch.setenv(variable, "given")
                    assert load_settings().sources[f"{name}.{key}"] == f"environment {variable}"


def test_options_that_detectors_share_are_described_once():
    page = reference()
    assert (
        "### `tool_mix`\n\nReads answers. Its findings open alerts.\n\nAs [`anomaly`](#anomaly): `alarm_every_events`"
        in page
    )
    assert page.count("| `model_dir` |") == 1
    assert page.count("Whether values are compared only with values of the same half-hour") == 1
