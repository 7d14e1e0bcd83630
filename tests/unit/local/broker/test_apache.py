import re
import uuid
from pathlib import Path

import pytest

from stream.errors import BrokerError
from weir.local.broker import apache


def test_a_cluster_id_does_not_begin_with_a_hyphen(monkeypatch):
    ids = iter([uuid.UUID(bytes=b"\xf8" + bytes(15)), uuid.UUID(bytes=b"\xfb" * 16), uuid.UUID(bytes=b"\x01" * 16)])
    monkeypatch.setattr(apache.uuid, "uuid4", lambda: next(ids))
    assert apache._cluster_id() == "AQEBAQEBAQEBAQEBAQEBAQ"


def test_kafka_gets_the_folder_of_a_home_with_any_characters():
    """Java reads the file as ISO 8859-1.

    Without escapes, Kafka would write its data to another folder, outside WEIR_HOME.
    """
    path = '/tmp/wéir 日本 👋/a\\b "c"'
    text = apache.server_properties(Path(path), 1, 2)
    (value,) = re.findall("^log.dirs=(.*)$", text, re.MULTILINE)
    assert text.isascii()
    assert read_as_java(value) == path


def read_as_java(value):
    """Decode the escapes of a properties file: \\uXXXX is a unit of UTF-16; other backslashes are dropped."""
    units = re.sub(r"\\(?:u([0-9a-f]{4})|(.))", lambda found: chr(int(found[1], 16)) if found[1] else found[2], value)
    return units.encode("utf-16", "surrogatepass").decode("utf-16")


def test_a_home_with_a_comma_is_an_error_because_kafka_would_use_two_folders():
    with pytest.raises(BrokerError, match=r"contains a comma.*another WEIR_HOME"):
        apache.server_properties(Path("/tmp/a,b/kafka"), 1, 2)
