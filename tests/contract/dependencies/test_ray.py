"""Private names and behaviour of Ray on which Weir relies. If they change, Ray can listen on every interface."""

import inspect
import re
from pathlib import Path

import ray._raylet
from ray._private import ray_constants
from ray.serve._private import haproxy_templates, replica
from ray.serve._private.common import ReplicaID
from ray.serve.context import ReplicaContext
from support.private_names import sources

from serving.ray_local import haproxy as edge
from serving.ray_local.layout import PORT_NAMES, RayLayout
from serving.ray_local.replica_port import keep_replica_on_loopback

DEPLOYMENTS, LAYOUT = "serving/deployments.py", "serving/ray_local/layout.py"


def test_a_replicas_context_has_the_fields_that_weir_uses():
    assert {"replica_id", "servable_object"} <= ReplicaContext.__dataclass_fields__.keys(), f"look at {DEPLOYMENTS}"
    assert "unique_id" in ReplicaID.__dataclass_fields__, f"look at {DEPLOYMENTS}"


def test_ray_reads_every_variable_that_weir_sets():
    variables = RayLayout(Path("/run/weir"), dict.fromkeys(PORT_NAMES, 1)).environment()
    python = sources("ray.serve") + sources("ray._private") + sources("ray._common")
    native = Path(ray._raylet.__file__).read_bytes()
    for name in variables:
        known = re.search(rf"\b{name}\b", python) or name.removeprefix("RAY_").encode() in native
        assert known, f"Ray does not read {name}; look at {LAYOUT}"


def test_the_newest_session_has_the_name_that_weir_reads():
    assert ray_constants.SESSION_LATEST == "session_latest", f"look at {LAYOUT}"


class Server:
    def add_insecure_port(self, address: str) -> int:
        self.address = address
        return 1


def test_the_grpc_port_of_a_replica_is_bound_by_the_function_that_weir_replaces(monkeypatch):
    monkeypatch.setattr(replica, "add_port_to_grpc_server", replica.add_port_to_grpc_server)
    keep_replica_on_loopback()
    keep_replica_on_loopback()
    source = inspect.getsource(replica)
    assert re.findall(r"add_port_to_grpc_server\(([^)]*)\)", source) == ['self._server, "[::]:0"']
    server = Server()
    assert replica.add_port_to_grpc_server(server, "[::]:0") == 1
    assert server.address == "127.0.0.1:0"


def test_the_haproxy_template_of_ray_has_only_the_listeners_that_the_edge_handles():
    template = haproxy_templates.HAPROXY_CONFIG_TEMPLATE
    binds = [line.split("bind", 1)[1].strip() for line in template.splitlines() if line.strip().startswith("bind ")]
    assert binds == [
        ":{{ config.metrics_port }}",
        "{{ config.frontend_host }}:{{ config.frontend_port }}",
        "{{ config.grpc_frontend_host }}:{{ config.grpc_frontend_port }} proto h2",
        "*:{{ config.stats_port }}",
    ]
    assert edge.FRONTEND in template.splitlines()
    assert edge.STATISTICS in template.splitlines()


def test_rays_template_answers_404_where_the_edge_replaces_it():
    lines = haproxy_templates.HAPROXY_CONFIG_TEMPLATE.splitlines()
    assert lines[lines.index(edge.NO_APPLICATION) + 1].startswith(edge.NOT_FOUND)
