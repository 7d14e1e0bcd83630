"""The page's files: ours from the folder ``web``, the libraries out of their npm packages as npm's lock has them.

The packages are kept as npm serves them, licence and all; each is held against the lock's hash before anything is read from it. A file that
cannot be had is logged, and answered as what it is: the others, and the API, are none the worse.
"""

import base64
import hashlib
import io
import json
import logging
import tarfile
from collections.abc import Callable
from functools import partial
from importlib.resources import files
from importlib.resources.abc import Traversable

import msgspec

from weir.errors import StackError

__all__ = ["Asset", "load_assets"]

_LOG = logging.getLogger(__name__)
_TYPES = {
    "css": "text/css",
    "html": "text/html",
    "js": "text/javascript",
    "mjs": "text/javascript",
    "svg": "image/svg+xml",
}
#: Under /vendor: where in which package.
_VENDORED = {
    "preact.mjs": ("preact", "dist/preact.mjs"),
    "htm.mjs": ("htm", "dist/htm.mjs"),
    "uplot.mjs": ("uplot", "dist/uPlot.esm.js"),
    "uplot.css": ("uplot", "dist/uPlot.min.css"),
}


class Asset(msgspec.Struct, frozen=True, kw_only=True):
    """A file of the page, and the tag by which a browser knows that it has it; `fault` alone where it cannot be had."""

    content: bytes = b""
    media_type: str = ""
    etag: str = ""
    fault: str = ""


def load_assets() -> dict[str, Asset]:
    """Return {path below /: file}; the page itself is ``index.html``."""
    web = files("weir.console") / "web"
    own = {"index.html", *(one.name for one in web.iterdir() if _kind(one.name))}
    readers: dict[str, Callable[[], bytes]] = {name: (web / name).read_bytes for name in own}
    readers |= {f"vendor/{name}": partial(_member, web / "vendor", *place) for name, place in _VENDORED.items()}
    return {name: _asset(name, read) for name, read in readers.items()}


def _kind(name: str) -> str | None:
    return _TYPES.get(name.rpartition(".")[2])


def _asset(name: str, read: Callable[[], bytes]) -> Asset:
    try:
        content = read()
    except (OSError, LookupError, ValueError, tarfile.TarError, StackError) as error:
        fault = f"the console's file {name} cannot be served ({type(error).__name__}: {error}); install weir anew"
        _LOG.error("%s", fault)
        return Asset(fault=fault)
    tag = hashlib.sha256(content).hexdigest()[:16]
    return Asset(content=content, media_type=_kind(name) or "", etag=f'"{tag}"')


def _member(folder: Traversable, package: str, path: str) -> bytes:
    entry = json.loads((folder / "package-lock.json").read_text())["packages"][f"node_modules/{package}"]
    name = f"{package}-{entry['version']}.tgz"
    archive = (folder / name).read_bytes()
    algorithm, _dash, expected = entry["integrity"].partition("-")
    if base64.b64encode(hashlib.new(algorithm, archive).digest()).decode() != expected:
        raise StackError(
            f"{name} is not what weir/console/web/vendor/package-lock.json names; get it with `npm pack {package}`"
        )
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        found = tar.extractfile(f"package/{path}")
        if found is None:
            raise StackError(f"{name} holds no file package/{path}")
        return found.read()
