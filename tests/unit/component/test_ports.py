"""Where a component that no `weir up` has started finds its ports."""

import pytest

from weir.component.process import process_ports, running
from weir.errors import StackError
from weir.settings import load_settings


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WEIR_HOME", str(tmp_path / "second"))
    return tmp_path / "second"


def test_a_worker_with_a_kafka_and_a_home_of_its_own_chooses_them_once(home, monkeypatch):
    monkeypatch.setenv("WEIR_KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:9092")
    first = process_ports(load_settings().settings)
    assert home.is_dir()
    assert first["score"] != first["watch"]
    assert process_ports(load_settings().settings) == first


def test_without_a_kafka_there_is_nothing_to_join(home):
    with pytest.raises(StackError, match="no stack was started"):
        process_ports(load_settings().settings)
    assert not home.exists()


def test_a_second_process_of_the_same_name_is_refused_with_its_port(home, monkeypatch):
    monkeypatch.setenv("WEIR_KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:9")
    port = process_ports(load_settings().settings)["ledger"]
    expected = pytest.raises(StackError, match=rf"ledger cannot listen on 127\.0\.0\.1:{port} .* in use")
    with running("ledger"), expected, running("ledger"):
        pass
