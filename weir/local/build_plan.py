"""Build a stack's plan from the settings: which components, their commands, addresses, health and order."""

import sys
from collections.abc import Collection
from pathlib import Path

import msgspec

from weir.errors import StackError
from weir.home.ports import reachable
from weir.local.broker.launch import BrokerPlan, launch_broker
from weir.local.plan import Component, Plan
from weir.local.ray_ports import ray_layout
from weir.settings import MetricsSection, Settings

__all__ = ["TOPICS", "build_plan", "local_bootstrap"]

#: The step between the broker and whoever reads or writes topics.
TOPICS = "topics"
_BROKER = "broker"
_PYTHON = sys.executable
_WORKERS = {"shipper": 180.0, "score": 600.0, "watch": 300.0, "ledger": 180.0}
#: Of all that is not serving: a tenth of a core that both want, so that it goes on, later.
_WATCHING_NICENESS = 10


def local_bootstrap(ports: dict[str, int]) -> str:
    """Return the address of the local broker."""
    return f"127.0.0.1:{ports['broker']}"


def build_plan(
    settings: Settings, broker: BrokerPlan, ports: dict[str, int], run_dir: Path, only: Collection[str] = ()
) -> Plan:
    """Return the plan; prepares the local broker where it is part of it, which may fetch its jars and format its directory.

    Parameters
    ----------
    only
        Names of the components that are wanted; none: all of them.

    Raises
    ------
    BrokerError
        The local broker cannot be prepared.
    StackError
        `only` names something that is no part of this stack, or one metrics port is set for several processes.
    """
    home = settings.home
    ray, serve = _serving(settings, ports, run_dir)
    components = [
        *(_broker(home, broker, ports) if not only or _BROKER in only else []),
        ray,
        *([_mlflow(home, ports)] if settings.mlflow.enabled else []),
        serve,
        *(_worker(name, settings.metrics, ports[name], ready) for name, ready in _WORKERS.items()),
        *([_worker("bridge", settings.metrics, ports["bridge"], 180.0)] if settings.bridge.enabled else []),
        *([_sentinel(settings.metrics, ports)] if settings.sentinel.enabled else []),
        *([_intake(settings, ports)] if settings.intake.enabled else []),
    ]
    chosen = _chosen(components, only)
    _refuse_shared_port(chosen, settings.metrics)
    return Plan(
        home=str(home),
        run_dir=str(run_dir),
        components=chosen,
        broker=broker.kind,
        bootstrap=settings.kafka.bootstrap_servers or local_bootstrap(ports),
        ports=ports,
        http=settings.http.model_dump(),
    )


def _chosen(components: list[Component], only: Collection[str]) -> list[Component]:
    """Return the components that `only` names; what such a one would wait for elsewhere is somebody else's to start."""
    if not only:
        return components
    known = [one.name for one in components]
    if unknown := [name for name in only if name not in known]:
        raise StackError(f"this stack has no component {', '.join(unknown)}; it has {', '.join(known)}")
    return [
        msgspec.structs.replace(one, after=[name for name in one.after if name in only or name == TOPICS])
        for one in components
        if one.name in only
    ]


def _refuse_shared_port(components: list[Component], metrics: MetricsSection) -> None:
    own = [one.name for one in components if one.health_url.endswith("/healthz")]
    if metrics.port and len(own) > 1:
        raise StackError(
            f"metrics.port is {metrics.port}, and {', '.join(own)} would all listen on it; unset it (WEIR_METRICS__PORT), or start one"
            " of them with --only"
        )


def _broker(home: Path, broker: BrokerPlan, ports: dict[str, int]) -> list[Component]:
    if broker.kind == "given":
        return []
    launch = launch_broker(broker.kind, home / "kafka", ports["broker"], ports["broker_controller"])
    return [
        Component(
            name=_BROKER,
            argv=launch.argv,
            address=launch.bootstrap,
            health_url=f"kafka://{launch.bootstrap}",
            stop_seconds=20.0,
            niceness=_WATCHING_NICENESS,
        )
    ]


def _mlflow(home: Path, ports: dict[str, int]) -> Component:
    port = ports["mlflow"]
    return Component(
        name="mlflow",
        argv=[_PYTHON, "-m", "weir.local.mlflow_server", str(home / "mlflow"), str(port)],
        address=f"http://127.0.0.1:{port}",
        health_url=f"http://127.0.0.1:{port}/health",
        after=["score"],  # no start needs it, and its imports would hold up those that requests wait for
        ready_seconds=300.0,
        niceness=_WATCHING_NICENESS,
    )


def _serving(settings: Settings, ports: dict[str, int], run_dir: Path) -> tuple[Component, Component]:
    layout = ray_layout(run_dir, ports, settings.http)
    return (
        Component(
            name="ray",
            argv=layout.head_command(),
            environment=layout.environment(),
            address=layout.address,
            # The raylet's port: it opens last, and closes when the GCS dies.
            health_url=f"tcp://127.0.0.1:{ports['ray_node_manager']}",
            ready_seconds=300.0,
            metrics=f"127.0.0.1:{ports['ray_metrics_export']}",
        ),
        msgspec.structs.replace(
            _worker("serve", settings.metrics, ports["serve"], 900.0),
            address=f"http://{settings.http.host}:{settings.http.port}/v1",
            environment=layout.driver_environment(),  # it imports beside Ray, and waits for it
            after=[],
            niceness=0,
        ),
    )


def _sentinel(metrics: MetricsSection, ports: dict[str, int]) -> Component:
    """Return who asks the fixed prompts, once the endpoint answers."""
    return msgspec.structs.replace(_worker("sentinel", metrics, ports["sentinel"], 60.0), after=["serve"])


def _intake(settings: Settings, ports: dict[str, int]) -> Component:
    """Return what takes other gateways' logs; like a gateway it writes its spool whether Kafka is there or not."""
    return msgspec.structs.replace(
        _worker("intake", settings.metrics, ports["intake"], 60.0),
        address=f"http://{settings.intake.host}:{settings.intake.port}/intake",
        after=[],
        niceness=0,
    )


def _worker(name: str, where: MetricsSection, port: int, ready_seconds: float) -> Component:
    metrics = f"{reachable(where.host)}:{where.port or port}"
    return Component(
        name=name,
        argv=[_PYTHON, "-m", "weir.component", name],
        address=f"http://{metrics}",
        health_url=f"http://{metrics}/healthz",
        after=[TOPICS],
        ready_seconds=ready_seconds,
        metrics=metrics,
        niceness=_WATCHING_NICENESS,
    )
