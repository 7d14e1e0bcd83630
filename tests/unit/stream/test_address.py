"""Addresses with a user and a password, which are sent and never shown."""

import base64
import pickle

import httpx
import pytest
from pydantic import ValidationError

from stream.address import Address, redacted
from stream.settings import BridgeSettings, KafkaSettings

SECRET = "whsec_" + base64.b64encode(b"k" * 24).decode()


@pytest.mark.parametrize(
    ("text", "shown", "user"),
    [
        ("http://ann:secret@127.0.0.1:9093", "http://127.0.0.1:9093", b"ann:secret"),
        ("https://ann:s%40c%2Fr%3At@proxy.example/a?b=c#d", "https://proxy.example/a?b=c#d", b"ann:s@c/r:t"),
        ("https://token@proxy.example/a", "https://proxy.example/a", b"token:"),
        ("http://ann:secret@[::1]:9093/a", "http://[::1]:9093/a", b"ann:secret"),
    ],
)
def test_the_user_is_only_in_the_header(text, shown, user):
    address = Address(text)
    assert (str(address), repr(address), f"{address}") == (shown, repr(shown), shown)
    scheme, encoded = address.headers["authorization"].split(" ")
    assert (scheme, base64.b64decode(encoded)) == ("Basic", user)


def test_the_header_equals_that_of_an_http_client():
    text = "http://ann%20b:s%40c%C3%BC@127.0.0.1:9/a"
    (sent,) = httpx.BasicAuth("ann b", "s@cü").auth_flow(httpx.Request("POST", "http://127.0.0.1:9/a"))
    assert Address(text).headers == {"authorization": sent.headers["authorization"]}


@pytest.mark.parametrize("text", ["http://127.0.0.1:9093/", ""])
def test_an_address_without_a_user_is_unchanged(text):
    assert (str(Address(text)), Address(text).headers) == (text, {})


def test_an_address_keeps_its_user_through_pickle_and_settings():
    address = pickle.loads(pickle.dumps(Address("http://ann:secret@h")))
    settings = BridgeSettings(alertmanagers=[address])
    assert settings.alertmanagers[0].headers == Address("http://ann:secret@h").headers
    assert "secret" not in repr(settings)


@pytest.mark.parametrize(
    "text",
    [
        "ann:secret@host:9093",
        "ftp://ann:secret@host",
        "http://ann:sec/ret@host",
        "http://ann:12/secret@host",
        "http://ann:sec@ret@host",
        "http://ann:sec ret@host",
        "http://ann:secret@:9093",
        "http://ann:secret@host:99999",
        "",
    ],
)
def test_an_invalid_address_is_an_error_without_its_text(text):
    for fields in ({"alertmanagers": [text]}, {"webhooks": {"pager": {"url": text, "secret": SECRET}}}):
        with pytest.raises(ValidationError) as raised:
            BridgeSettings(**fields)
        (problem,) = raised.value.errors()
        assert "sec" not in problem["msg"]
        assert "ret@" not in redacted(problem["input"])


@pytest.mark.parametrize("key", ["runbook_url", "trace_url"])
def test_addresses_that_people_read_must_have_no_user(key):
    with pytest.raises(ValidationError, match="must not contain a user and password"):
        BridgeSettings(**{key: "https://ann:secret@docs.example/{trace_id}"})


def test_addresses_of_kafka_servers_must_have_no_user():
    with pytest.raises(ValidationError, match=r"set kafka\.sasl_username and kafka\.sasl_password"):
        KafkaSettings(bootstrap_servers="kafka-1:9093,ann:secret@kafka-2:9093")


def test_a_comma_at_the_end_of_the_kafka_servers_names_no_server():
    """Faust and aiokafka try port 9092 of this machine for an empty name."""
    assert (
        KafkaSettings(bootstrap_servers=" kafka-1:9093, kafka-2:9093,").bootstrap_servers == "kafka-1:9093,kafka-2:9093"
    )
