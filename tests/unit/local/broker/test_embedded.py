import importlib

from weir.local.broker.launch import embedded_command


def test_the_mode_of_an_installed_broker_is_not_changed(tmp_path, monkeypatch):
    """Only its owner may change it, and root may have installed the package."""
    package = tmp_path / "noida_db"
    package.mkdir()
    (package / "__init__.py").touch()
    binary = package / "noida-db"
    binary.touch(mode=0o555)
    monkeypatch.syspath_prepend(tmp_path)
    importlib.invalidate_caches()
    assert embedded_command(tmp_path / "data", 9092)[0] == str(binary)
    assert oct(binary.stat().st_mode & 0o777) == "0o555"
