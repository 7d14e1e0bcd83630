import base64
import hashlib
import json
import shutil
import tarfile
from importlib.resources import files
from pathlib import Path

import pytest

from weir.console import assets

VENDOR = Path(str(files("weir.console") / "web" / "vendor"))


def locked():
    packages = json.loads((VENDOR / "package-lock.json").read_text())["packages"]
    return {name.removeprefix("node_modules/"): entry for name, entry in packages.items() if name}


def test_vendored_packages_match_the_lock_and_have_a_licence():
    archives = sorted(path.name for path in VENDOR.glob("*.tgz"))
    assert archives == sorted(f"{name}-{entry['version']}.tgz" for name, entry in locked().items())
    for name, entry in locked().items():
        path = VENDOR / f"{name}-{entry['version']}.tgz"
        algorithm, _, expected = entry["integrity"].partition("-")
        assert base64.b64encode(hashlib.new(algorithm, path.read_bytes()).digest()).decode() == expected
        with tarfile.open(path) as tar:
            assert any("license" in member.name.lower() for member in tar.getmembers())


def test_neither_the_lock_nor_the_page_contains_an_address():
    web = VENDOR.parent
    ours = [*web.glob("*.js"), *web.glob("*.css"), *web.glob("*.html"), *VENDOR.glob("*.json")]
    assert len(ours) > 15
    for path in ours:
        assert "http://" not in path.read_text().replace("http://www.w3.org/2000/svg", ""), path.name
        assert "https://" not in path.read_text(), path.name


@pytest.fixture
def damaged(tmp_path, monkeypatch):
    """Replace the page's files by a copy in which one library differs from the lock file."""
    shutil.copytree(VENDOR.parent, tmp_path / "web")
    (archive,) = (tmp_path / "web/vendor").glob("htm-*.tgz")
    archive.write_bytes(archive.read_bytes() + b"\0")
    (tmp_path / "web/main.js~").write_text("an editor's copy")
    monkeypatch.setattr(assets, "files", lambda _package: tmp_path)
    return tmp_path / "web"


async def test_a_broken_file_is_logged_and_served_as_an_error_and_the_rest_works(damaged, page, caplog):
    (line,) = [record.message for record in caplog.get_records("setup") if record.levelname == "ERROR"]
    assert "vendor/htm.mjs cannot be read" in line
    assert "package-lock.json; get it with `npm pack" in line
    headers = {"authorization": f"Bearer {page.secret}"}
    for path in ("/web/vendor/htm.mjs", "/", "/alerts/al_1"):
        answer = await page.client.get(path, headers=headers)
        assert answer.status_code == 500, path
        assert "htm-3" in answer.text
        assert "reinstall weir" in answer.text
    assert (await page.client.get("/web/main.js", headers=headers)).status_code == 200
    assert (await page.client.get("/web/main.js~", headers=headers)).status_code == 404
    assert (await page.get("/api/alerts"))["alerts"] == []


def test_a_missing_page_is_reported(damaged):
    (damaged / "index.html").unlink()
    assert "index.html cannot be read" in assets.load_assets()["index.html"].fault
