import hashlib
from pathlib import Path

import pytest

from stream.errors import BrokerError
from weir.local.broker.kafka_jars import check_jars


@pytest.fixture
def jars(tmp_path: Path) -> tuple[Path, Path]:
    checksums = tmp_path / "jars.sha256"
    lines = []
    for name in ("a.jar", "b.jar"):
        (tmp_path / name).write_bytes(name.encode())
        lines.append(f"{hashlib.sha256(name.encode()).hexdigest()}  {name}")
    checksums.write_text("\n".join(lines) + "\n")
    return tmp_path, checksums


def test_jars_with_the_pinned_checksums_are_accepted(jars):
    check_jars(*jars)


@pytest.mark.parametrize("change", ["altered", "missing", "added"])
def test_a_jar_with_another_checksum_is_an_error_that_names_it(jars, change):
    directory, checksums = jars
    jar = directory / ("c.jar" if change == "added" else "b.jar")
    if change == "missing":
        jar.unlink()
    else:
        jar.write_bytes(b"something else")
    with pytest.raises(BrokerError, match=f"^1 Kafka jar differs from .*; first: {jar.name} "):
        check_jars(directory, checksums)
