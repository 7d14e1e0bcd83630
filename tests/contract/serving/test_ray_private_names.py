"""What Weir relies on in Ray and has no public name: a Ray that changes it must fail here, not listen on every interface."""

import inspect
import re

from ray.serve._private import haproxy_templates, replica

from serving.ray_local import haproxy as edge
from serving.ray_local import keep_replica_on_loopback


class Server:
    def add_insecure_port(self, address: str) -> int:
        self.address = address
        return 1


def test_a_replicas_grpc_port_is_bound_through_the_name_that_is_guarded(monkeypatch):
    monkeypatch.setattr(replica, "add_port_to_grpc_server", replica.add_port_to_grpc_server)
    keep_replica_on_loopback()
    keep_replica_on_loopback()
    source = inspect.getsource(replica)
    assert re.findall(r"add_port_to_grpc_server\(([^)]*)\)", source) == ['self._server, "[::]:0"']
    server = Server()
    assert replica.add_port_to_grpc_server(server, "[::]:0") == 1
    assert server.address == "127.0.0.1:0"


def test_every_listener_of_rays_template_is_one_that_the_edge_knows():
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
