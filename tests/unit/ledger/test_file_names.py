"""Opening the ledger's files, which SQLite opens by URI: folders with special characters of URIs work; a locked file is
an error.
"""

import json
import os
import sqlite3
import subprocess
from contextlib import closing

import pytest
from click.testing import CliRunner
from support.commands import WEIR, without_rights_of_root
from support.console_ledger import NAMES, LedgerMaker
from support.ledger_log import Log, request

from stream.ledger.database_files import LedgerFiles
from stream.ledger.queries.ledger_reader import LedgerReader
from stream.ledger.schema import SCHEMA_VERSION, schema_version
from stream.ledger.store import LedgerStore
from weir.cli import main


@pytest.mark.parametrize("name", ["a#b", "a?b", "100%", "a%41", "wéir &c"])
def test_a_ledger_in_a_folder_of_any_name_is_read(name, tmp_path):
    maker = LedgerMaker(tmp_path / name)
    maker.side("r1", "input", 1_800_000_000.0)
    maker.close()
    assert schema_version(LedgerFiles(tmp_path / name).decisions) == SCHEMA_VERSION
    assert LedgerReader(tmp_path / name).coverage().total.owed == 3


def test_a_copy_of_a_file_in_the_folder_is_ignored(tmp_path):
    maker = LedgerMaker(tmp_path / "ledger")
    maker.side("r1", "input", 1_800_000_000.0)
    maker.close()
    files = LedgerFiles(tmp_path / "ledger")
    for name in ("partition-0.copy", "partition-old", "partition-", "partition-00"):
        (tmp_path / "ledger" / f"{name}.db").write_bytes(files.shard(0).read_bytes())
    assert LedgerReader(tmp_path / "ledger").coverage().total.owed == 3
    assert files.other_version() is None
    files.delete()
    assert files.shards() == []
    assert (tmp_path / "ledger" / "partition-0.copy.db").exists()


@pytest.mark.parametrize(("partitions", "owed"), [(1, 0), (2, 2), (3, 2)])
def test_the_files_of_partitions_that_no_longer_exist_are_deleted(partitions, owed, tmp_path):
    """Readers read all files, and the ledger updates and expires only those of the present partitions."""
    files = LedgerFiles(tmp_path)
    store = LedgerStore(files, NAMES, 2, float("inf"))
    store.apply([Log().inference(request("r1", 1.0), partition=1)])
    store.close()
    deleted = files.delete_surplus(partitions)
    assert [path.name for path in deleted] == (["partition-1.db"] if partitions == 1 else [])
    assert LedgerReader(tmp_path).coverage().total.owed == owed


def test_a_locked_ledger_is_an_error_that_names_the_folder_and_the_reason(tmp_path, monkeypatch):
    maker = LedgerMaker(tmp_path / "ledger")
    maker.side("r1", "input", 1_800_000_000.0)
    maker.close()
    monkeypatch.setenv("WEIR_HOME", str(tmp_path))
    monkeypatch.setattr("stream.ledger.database_files._PAUSE_SECONDS", 0.01)  # the reader tries as often, in less time
    with closing(sqlite3.connect(LedgerFiles(tmp_path / "ledger").decisions, isolation_level=None)) as other:
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("BEGIN EXCLUSIVE")
        result = CliRunner().invoke(main, ["show", "r1"])
        status = CliRunner().invoke(main, ["status", "--json"])
    assert result.exit_code == 1
    assert (
        f"the ledger in {tmp_path / 'ledger'} cannot be read now: database is locked; run the command again"
        in result.stderr
    )
    assert any("database is locked" in problem for problem in json.loads(status.stdout)["problems"])


def test_a_ledger_that_the_user_may_only_read_is_an_error_about_rights(tmp_path):
    maker = LedgerMaker(tmp_path / "ledger")
    maker.side("r1", "input", 1_800_000_000.0)
    maker.close()
    for path in (tmp_path / "ledger").iterdir():
        path.chmod(0o400)
    (tmp_path / "ledger").chmod(0o500)
    command = [*without_rights_of_root(), *WEIR, "show", "r1"]
    environment = os.environ | {"WEIR_HOME": str(tmp_path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    (tmp_path / "ledger").chmod(0o700)
    assert done.returncode == 1
    assert "run the command as the user of the stack" in done.stderr
