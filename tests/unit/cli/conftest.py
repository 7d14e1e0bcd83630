import pytest


@pytest.fixture
def home(tmp_path, monkeypatch):
    """An empty WEIR_HOME in the current folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WEIR_CONFIG", raising=False)
    monkeypatch.setenv("WEIR_HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def no_broker(home):
    """A home whose configured broker does not exist: nothing listens on port 1."""
    (home / "ports.json").write_text('{"broker": 1}')
    return home
