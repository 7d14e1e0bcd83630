import pytest


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty WEIR_HOME, which is the current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WEIR_CONFIG", raising=False)
    monkeypatch.setenv("WEIR_HOME", str(tmp_path))
    return tmp_path
