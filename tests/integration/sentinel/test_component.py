"""The sentinel as the supervisor starts it: its own key, its settings, its metrics, and its end after SIGTERM."""

import re
import signal

import httpx
from support.flood import gateway
from support.stack import until
from support.weir_component import weir_component

from weir.home.api_keys import own_key_path

SETTINGS = {
    "WEIR_MODEL__NAME": "echo",
    "WEIR_SENTINEL__ENABLED": "true",
    "WEIR_SENTINEL__EVERY_SECONDS": "1",
}


def _answered(process, address):
    assert process.poll() is None
    try:
        metrics = httpx.get(f"{address}/metrics", timeout=5, verify=False).text  # reads no certificates
    except httpx.HTTPError:
        return 0
    found = re.search(r'weir_sentinel_requests_total\{outcome="answered"\} (\S+)', metrics)
    return float(found[1]) if found else 0


def test_the_component_sends_prompts_until_sigterm(tmp_path):
    with gateway(tmp_path) as (_, url):
        settings = SETTINGS | {"WEIR_HTTP__PORT": url.rpartition(":")[2]}
        with weir_component("sentinel", tmp_path, settings) as (process, address):
            until("two answers", lambda: _answered(process, address) >= 2, 120)
            assert httpx.get(f"{address}/healthz", timeout=5).status_code == 200
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
    assert own_key_path(tmp_path).exists()
