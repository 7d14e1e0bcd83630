"""Load the page's files: Weir's files from the folder ``web``, and libraries from npm packages.

The packages are stored as the original npm archives, which contain the licences. Before use, each archive is checked
against the hash in npm's lock file. If a file cannot be read, the problem is logged, and requests for this file get
an error; other files and the API still work.
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

_LOG = logging.getLogger(__name__)
_TYPES = {
    "css": "text/css",
    "html": "text/html",
    "js": "text/javascript",
    "mjs": "text/javascript",
    "svg": "image/svg+xml",
}
#: File under /vendor: (package, path in the package).
_VENDORED = {
    "preact.mjs": ("preact", "dist/preact.mjs"),
    "htm.mjs": ("htm", "dist/htm.mjs"),
    "uplot.mjs": ("uplot", "dist/uPlot.esm.js"),
    "uplot.css": ("uplot", "dist/uPlot.min.css"),
}


class Asset(msgspec.Struct, frozen=True, kw_only=True):
    """A file of the page and its ETag; if the file cannot be read, only `fault` is set."""

    content: bytes = b""
    media_type: str = ""
    etag: str = ""
    fault: str = ""


def load_assets() -> dict[str, Asset]:
    """Return {path below /web: file}; the page itself is ``index.html``."""
    web = files("weir.console") / "web"
    own = {"index.html", *(one.name for one in web.iterdir() if _kind(one.name))}
    readers: dict[str, Callable[[], bytes]] = {name: (web / name).read_bytes for name in own}
    readers |= {f"vendor/{name}": partial(_member, web / "vendor", *member) for name, member in _VENDORED.items()}
    return {name: _asset(name, read) for name, read in readers.items()}


def _kind(name: str) -> str | None:
    return _TYPES.get(name.rpartition(".")[2])


def _asset(name: str, read: Callable[[], bytes]) -> Asset:
    try:
        content = read()
    except (OSError, LookupError, ValueError, tarfile.TarError, StackError) as error:
        fault = f"the console's file {name} cannot be read ({type(error).__name__}: {error}); reinstall weir"
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
            f"{name} does not match the hash in weir/console/web/vendor/package-lock.json; get it with `npm pack {package}`"
        )
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        found = tar.extractfile(f"package/{path}")
        if found is None:
            raise StackError(f"{name} has no file package/{path}")
        return found.read()
