import pytest
from support.alert_log import Alerts


@pytest.fixture
def alerts():
    return Alerts()
