"""The oracle must be set as the product's processes are: F13 was judged by another silence than theirs."""

import pytest

from chaos.faults import FAULTS
from chaos.options import CONFIG
from weir.settings import Settings, load_settings


@pytest.mark.parametrize("key", FAULTS)
def test_the_oracle_is_set_as_the_processes_are(key, monkeypatch, tmp_path):
    options = FAULTS[key].options
    (tmp_path / "weir.toml").write_text(CONFIG)
    monkeypatch.setenv("WEIR_CONFIG", str(tmp_path / "weir.toml"))
    for name, value in options.settings.items():
        monkeypatch.setenv(name, value)
    where = {"home", "kafka"}  # a lab's own
    assert Settings(**options.values()).model_dump(exclude=where) == load_settings().settings.model_dump(exclude=where)
