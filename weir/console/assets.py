"""The page's files: ours from the folder ``web``, the libraries out of their npm packages as npm's lock has them.

The packages are kept as npm serves them, licence and all; each is held against the lock's hash before anything is read from it.
"""

import base64
import hashlib
import io
import json
import tarfile
from importlib.resources import files
from importlib.resources.abc import Traversable

import msgspec

from weir.errors import StackError

__all__ = ["Asset", "load_assets"]

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
    """A file of the page, and the tag by which a browser knows that it has it."""

    content: bytes
    media_type: str
    etag: str


def load_assets() -> dict[str, Asset]:
    """Return {path below /: file}; the page itself is ``index.html``.

    Raises
    ------
    StackError
        A package is not the one that the lock names.
    """
    web = files("weir.console") / "web"
    own = {one.name: one.read_bytes() for one in web.iterdir() if one.is_file()}
    vendored = {f"vendor/{name}": _member(web / "vendor", *place) for name, place in _VENDORED.items()}
    return {name: _asset(name, content) for name, content in (own | vendored).items()}


def _asset(name: str, content: bytes) -> Asset:
    tag = hashlib.sha256(content).hexdigest()[:16]
    return Asset(content=content, media_type=_TYPES[name.rpartition(".")[2]], etag=f'"{tag}"')


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
        assert found is not None
        return found.read()
