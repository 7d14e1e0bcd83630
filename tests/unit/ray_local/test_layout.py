import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from serving.errors import RayLocalError
from serving.ray_local import haproxy as edge
from serving.ray_local.layout import PORT_NAMES, RayLayout, short_run_dir

CONFIG = Path(__file__).with_name("layout.cfg").read_text()
PORTS = {name: 20_000 + index for index, name in enumerate(PORT_NAMES)}
OPTIONS = {
    "host": "127.0.0.1",
    "edge_token": "t" * 64,
    "limits": edge.Limits(max_body_bytes=1000, connections_per_address=20, header_seconds=1.5),
    "timeout_path": "/run/408.http",
}


@pytest.fixture
def run_dir(tmp_path):
    path = short_run_dir(tmp_path)
    yield path
    subprocess.run(["rm", "-rf", str(path)], check=True)


def test_every_listener_is_on_loopback_and_the_rules_are_in_the_frontend():
    lines = edge.rewrite(CONFIG, **OPTIONS).splitlines()
    binds = [line.split()[1] for line in lines if line.strip().startswith("bind ")]
    assert binds == ["127.0.0.1:9101", "127.0.0.1:8000", "127.0.0.1:8404"]
    frontend = lines.index("frontend http_frontend")
    rules = "\n".join(lines[frontend : lines.index("backend app")])
    for rule in ("unique-id-format", "set-header x-request-id", "http-after-response", "status 413", "wait-for-body"):
        assert rule in rules
    assert "    errorfile 408 /run/408.http\n" in rules
    assert "  http-request deny" in lines[lines.index("  bind 127.0.0.1:8404") :]
    assert [line.strip() for line in lines if "timeout http-request" in line] == ["timeout http-request 1500ms"] * 3


def test_a_rewritten_file_is_not_changed_again():
    once = edge.rewrite(CONFIG, **OPTIONS)
    assert edge.rewrite(once, **OPTIONS) == once


@pytest.mark.parametrize("address", ["0.0.0.0:8000", "[::]:8000", "10.0.0.1:8000", "/tmp/sock"])
def test_a_listener_beyond_loopback_is_an_error(address):
    with pytest.raises(edge.UnsafeConfig, match="bind"):
        edge.rewrite(CONFIG.replace("127.0.0.1:8000", address), **OPTIONS)


def test_the_configured_host_is_kept_for_the_endpoint_only():
    text = CONFIG.replace("127.0.0.1:8000", "10.0.0.1:8000")
    assert "bind 10.0.0.1:8000" in edge.rewrite(text, **OPTIONS | {"host": "10.0.0.1"})
    every = edge.rewrite(
        CONFIG.replace("127.0.0.1:8000", "*:8000"), **OPTIONS | {"host": "0.0.0.0"}
    )  # Ray writes 0.0.0.0 as *
    assert "bind 0.0.0.0:8000" in every
    assert "bind 127.0.0.1:9101" in every
    with pytest.raises(edge.UnsafeConfig):
        edge.rewrite(text.replace("bind :9101", "bind 10.0.0.2:9101"), **OPTIONS | {"host": "10.0.0.1"})


def test_a_template_without_the_frontend_is_an_error():
    with pytest.raises(edge.UnsafeConfig, match="http_frontend"):
        edge.rewrite("frontend other\n    bind :1\n", **OPTIONS)


@pytest.mark.parametrize(
    ("page", "status", "code"),
    [(edge.error_page(), "503", "gateway_unavailable"), (edge.timeout_page(), "408", "request_timeout")],
)
def test_an_error_page_is_json_with_its_own_length(page, status, code):
    head, body = page.split("\r\n\r\n")
    assert head.startswith(f"HTTP/1.1 {status} ")
    assert f"Content-Length: {len(body)}" in head
    error = json.loads(body)["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["code"] == code


def test_prepare_writes_private_files_and_removes_those_of_the_last_run(run_dir):
    layout = RayLayout(run_dir, PORTS)
    layout.prepare()
    token = layout.token_path.read_text()
    assert len(token) == 64
    for path, mode in ((run_dir, 0o700), (layout.token_path, 0o600), (layout.edge_token_path, 0o600)):
        assert stat.S_IMODE(path.stat().st_mode) == mode
    assert os.access(run_dir / "haproxy-edge", os.X_OK)
    leftover = run_dir / "ray" / "session_old"
    leftover.mkdir()
    (run_dir / "ray" / "session_latest").symlink_to(leftover)
    assert layout.session() == "session_old"
    layout.prepare()
    assert not leftover.exists()
    assert layout.session() == ""
    assert layout.token_path.read_text() == token


def test_the_wrapper_rewrites_the_configuration_and_runs_haproxy(run_dir, tmp_path, monkeypatch):
    python = tmp_path / "Ann's $code" / "python"
    python.parent.mkdir()
    python.symlink_to(sys.executable)
    monkeypatch.setattr(sys, "executable", str(python))
    layout = RayLayout(run_dir, PORTS)
    layout.prepare()
    page, config = tmp_path / "500.http", tmp_path / "haproxy.cfg"
    page.write_text("old")
    config.write_text(CONFIG.format(page=page))
    settings = json.loads((run_dir / "edge.json").read_text()) | {"haproxy": "/bin/echo"}
    (run_dir / "edge.json").write_text(json.dumps(settings))
    command = [str(run_dir / "haproxy-edge"), "-db", "-f", str(config)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["-db", "-f", str(config)]
    assert "bind 127.0.0.1:9101" in config.read_text()
    assert page.read_text() == edge.error_page().replace("\r\n", "\n")
    (timeout,) = [line.split()[2] for line in config.read_text().splitlines() if line.startswith("    errorfile 408 ")]
    assert Path(timeout).read_text() == edge.timeout_page().replace("\r\n", "\n")
    config.write_text(CONFIG.replace("127.0.0.1:8000", "0.0.0.0:8000"))
    refused = subprocess.run(command, capture_output=True, text=True, check=False)
    assert refused.returncode != 0
    assert "0.0.0.0:8000" in refused.stderr


def test_a_long_directory_and_a_missing_port_are_errors_with_the_remedy(tmp_path, run_dir):
    with pytest.raises(RayLocalError, match="short_run_dir"):
        RayLayout(tmp_path / "a-directory-that-is-too-long", PORTS)
    with pytest.raises(RayLocalError, match="ray_gcs"):
        RayLayout(run_dir, {name: port for name, port in PORTS.items() if name != "ray_gcs"})


def test_no_port_of_the_command_or_environment_is_rays_default(run_dir):
    layout = RayLayout(run_dir, PORTS)
    given = {part.split("=")[1] for part in layout.head_command() if "-port=" in part}
    own = {str(port) for name, port in PORTS.items() if "base" not in name}
    assert own <= given | set(layout.environment().values())
    assert not given & {"6379", "8265", "10001", "8500", "9500"}
