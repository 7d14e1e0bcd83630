import pytest


@pytest.fixture(autouse=True)
def _empty_folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def write(tmp_path):
    """Return a function that writes weir.toml in the current folder."""
    return (tmp_path / "weir.toml").write_text
