"""The proxy of the environment (HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY), which requests to this machine never use."""

from collections.abc import Collection
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import httpx


def proxy_options(urls: Collection[str]) -> dict[str, Any]:
    """Return the options of an httpx client that sends requests to `urls`."""
    local = [url for url in urls if _is_loopback(url)]
    if len(local) == len(urls):
        return {"trust_env": False}
    return {"mounts": {f"all://{httpx.URL(url).netloc.decode()}": None for url in local}}


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
