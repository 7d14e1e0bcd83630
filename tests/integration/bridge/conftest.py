import pytest
from support.alertmanagers import Alertmanager
from support.receiver import receiver
from support.stack import free_port


@pytest.fixture
def hook():
    with receiver() as made:
        yield made


@pytest.fixture
def manager(tmp_path, hook):
    made = Alertmanager(tmp_path, free_port(), hook.url).start()
    yield made
    made.kill()
