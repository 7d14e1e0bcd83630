import pytest
from support.console_ledger import LedgerMaker
from support.ledger_log import Log
from support.ledger_store import MemoryLedger


@pytest.fixture
def maker(tmp_path):
    maker = LedgerMaker(tmp_path)
    yield maker
    maker.close()


@pytest.fixture
def log():
    return Log()


@pytest.fixture
def ledger():
    with MemoryLedger() as made:
        yield made
