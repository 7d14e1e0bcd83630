"""Names of uvicorn that Weir overrides or uses and that are not documented."""

import inspect

import pytest
from support.private_names import check, check_pin, names
from uvicorn import Server
from uvicorn.protocols.http.h11_impl import H11Protocol, RequestResponseCycle

CONNECTIONS, SERVER = "serving/intake/connections.py", "serving/intake/server.py"
NAMES = [
    *names(
        CONNECTIONS,
        "uvicorn.protocols.http.h11_impl:H11Protocol",
        connection_lost="self, exc",
        connection_made="self, transport",
        data_received="self, data",
    ),
    *names(CONNECTIONS, "h11:Connection", trailing_data=""),
    *names(SERVER, "uvicorn:Server", capture_signals="self", serve="self, sockets"),
]


@pytest.mark.parametrize("private", NAMES, ids=lambda private: private.name)
def test_a_private_name_is_as_weir_expects(private):
    check(private)


@pytest.mark.parametrize("attribute", ["client", "conn", "cycle", "loop", "transport"])
def test_a_protocol_has_the_attribute(attribute):
    assert f"self.{attribute}" in inspect.getsource(H11Protocol), f"look at {CONNECTIONS}"


def test_a_cycle_is_complete_after_its_response():
    assert "self.response_complete" in inspect.getsource(RequestResponseCycle), f"look at {CONNECTIONS}"


def test_serving_captures_signals_through_the_overridden_method():
    assert "self.capture_signals()" in inspect.getsource(Server.serve), f"look at {SERVER}"


def test_the_version_is_pinned():
    check_pin("uvicorn")
