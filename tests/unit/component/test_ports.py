"""The ports of a component that `weir up` did not start."""

import pytest

from weir.component.process import process_ports, running
from weir.errors import StackError
from weir.settings import load_settings


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WEIR_HOME", str(tmp_path / "second"))
    return tmp_path / "second"


def test_a_worker_with_its_own_kafka_and_home_chooses_its_ports_once(home, monkeypatch):
    monkeypatch.setenv("WEIR_KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:9092")
    first = process_ports(load_settings().settings)
    assert home.is_dir()
    assert first["score"] != first["watch"]
    assert process_ports(load_settings().settings) == first


def test_without_a_kafka_and_a_stack_there_is_an_error(home):
    with pytest.raises(StackError, match="no stack was started"):
        process_ports(load_settings().settings)
    assert not home.exists()


def test_a_second_process_of_the_same_component_is_an_error_with_its_port(home, monkeypatch):
    monkeypatch.setenv("WEIR_KAFKA__BOOTSTRAP_SERVERS", "127.0.0.1:9")
    port = process_ports(load_settings().settings)["ledger"]
    expected = pytest.raises(StackError, match=rf"ledger cannot listen on 127\.0\.0\.1:{port} .* in use")
    with running("ledger"), expected, running("ledger"):
        pass
