import pytest
from support.console_ledger import LedgerMaker


@pytest.fixture
def maker(tmp_path):
    maker = LedgerMaker(tmp_path)
    yield maker
    maker.close()
