"""The demo ends with the error of a topic that it cannot read."""

import pytest
from rich.console import Console
from support.stack import free_port

from stream.errors import TopicMissing
from weir.demo.run import run_demo
from weir.settings import load_settings

pytestmark = pytest.mark.kafka


async def test_the_demo_ends_if_a_topic_cannot_be_read(broker, tmp_path, monkeypatch):
    monkeypatch.setenv("WEIR_HOME", str(tmp_path))
    monkeypatch.setenv("WEIR_HTTP__PORT", str(free_port()))
    monkeypatch.setenv("WEIR_KAFKA__BOOTSTRAP_SERVERS", broker.bootstrap)
    monkeypatch.setenv("WEIR_KAFKA__TOPIC_PREFIX", "absent.")
    with pytest.raises(TopicMissing, match=r"no topic absent\."):
        await run_demo(load_settings(), Console(quiet=True), quick=True)
