"""The proxy of the environment (HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY): never for this machine, and an error if httpx cannot use it."""

import importlib.util
import os
import urllib.request
from collections.abc import Collection
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

import httpx

from stream.errors import ProxyUnusable

_KINDS = ("http", "https", "all")


def proxy_options(urls: Collection[str]) -> dict[str, Any]:
    """Return the options of an httpx client that sends requests to `urls`; raises ProxyUnusable, unless all are on this machine."""
    local = [url for url in urls if _is_loopback(url)]
    if len(local) == len(urls):
        return {"trust_env": False}
    check_proxies()
    return {"mounts": {f"all://{httpx.URL(url).netloc.decode()}": None for url in local}}


def check_proxies() -> None:
    """Raise ProxyUnusable if a client of httpx that reads the environment's proxies could not be created."""
    found = urllib.request.getproxies()  # as httpx
    if "*" in [name.strip() for name in found.get("no", "").split(",")]:
        return
    # httpx supports SOCKS only with socksio, which Weir does not install.
    allowed = {"http", "https"} | ({"socks5", "socks5h"} if importlib.util.find_spec("socksio") else set())
    for kind in _KINDS:
        scheme, separator, _ = found.get(kind, "").partition("://")
        if separator and scheme.lower() not in allowed:
            name = next((name for name in os.environ if name.lower() == f"{kind}_proxy"), f"{kind} proxy")
            raise ProxyUnusable(
                f"{name} names a proxy of type {scheme}://, and Weir uses http:// and https:// proxies; set such a proxy, or unset {name}"
            )


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
