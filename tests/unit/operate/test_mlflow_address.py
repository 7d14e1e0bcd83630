"""The commands that train by hand reach the MLflow of the stack, which is on this machine, without the proxy of the environment."""

import pytest
from requests.utils import get_environ_proxies

from weir.operate.mlflow_address import use_mlflow
from weir.settings import Settings


@pytest.mark.parametrize("given", ["", "inside.example", "*"])
def test_the_proxy_gets_no_card_of_a_version(monkeypatch, given):
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_HTTP_REQUEST_MAX_RETRIES", "MLFLOW_HTTP_REQUEST_TIMEOUT"):
        monkeypatch.setenv(name, "")
    for name in ("HTTP_PROXY", "http_proxy"):
        monkeypatch.setenv(name, "http://proxy.example:3128")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.setenv(name, given)
    assert not get_environ_proxies(use_mlflow(Settings(), {"mlflow": 5000}))
    assert bool(get_environ_proxies("http://outside.example/")) == (given != "*")
    assert not get_environ_proxies("http://inside.example/") or not given
