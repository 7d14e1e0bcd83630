"""SQLite opens the ledger's files by URI; folders with characters of URIs are read too."""

import pytest
from support.console_ledger import LedgerMaker

from stream.ledger.database_files import LedgerFiles
from stream.ledger.queries.ledger_reader import LedgerReader
from stream.ledger.schema import SCHEMA_VERSION, schema_version


@pytest.mark.parametrize("name", ["a#b", "a?b", "100%", "a%41", "wéir &c"])
def test_a_ledger_in_a_folder_of_any_name_is_read(name, tmp_path):
    maker = LedgerMaker(tmp_path / name)
    maker.side("r1", "input", 1_800_000_000.0)
    maker.close()
    assert schema_version(LedgerFiles(tmp_path / name).decisions) == SCHEMA_VERSION
    assert LedgerReader(tmp_path / name).coverage().total.owed == 3
