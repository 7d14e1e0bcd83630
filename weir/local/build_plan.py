"""Build a stack's plan from the settings: its components with their commands, addresses, health checks and start order."""

import sys
from collections.abc import Collection
from pathlib import Path

import msgspec

from serving.driver import deploy_seconds
from serving.ray_local.layout import RayLayout
from stream.settings import KafkaSettings
from weir.errors import StackError
from weir.home.ports import in_url, reachable
from weir.local.broker.apache import JAVA_ENVIRONMENT
from weir.local.broker.launch import BrokerPlan, broker_command, check_login
from weir.local.plan import Component, Plan
from weir.settings import MetricsSection, MlflowSection, Settings, shown_values

#: The step of a start that creates the topics, after the broker and before the components that use topics.
TOPICS = "topics"
_BROKER = "broker"
#: Time limits of a start, for imports and for loading models on a slow machine.
_READY_SECONDS = {
    "ray": 300.0,
    "mlflow": 300.0,
    "serve": 300.0,  # until it is connected to Ray; the deployment has its own limit
    "shipper": 180.0,
    "score": 600.0,
    "watch": 300.0,
    "ledger": 180.0,
    "bridge": 180.0,
    "delivery": 180.0,
    "sentinel": 60.0,
    "intake": 60.0,
    "trainer": 180.0,
}
_BROKER_STOP_SECONDS = 20.0
#: Time for a step of training and its checkpoint (30 s), and for the requests to a Kafka that does not answer; as in the containers.
_TRAINER_STOP_SECONDS = 60.0
#: If another process and serving need the same core, the other process gets about a tenth of it.
_MONITORING_NICENESS = 10


def build_plan(
    settings: Settings, broker: BrokerPlan, ports: dict[str, int], run_dir: Path, only: Collection[str] = ()
) -> Plan:
    """Return the plan of all components, or of those in `only`; :func:`prepare_broker` adds the command of a local broker.

    Raises StackError if `only` has an unknown component or leaves out a needed broker, or several processes would use one metrics port; BrokerError
    if the settings of TLS or SASL cannot be used.
    """
    home = settings.home
    ray, serve = _serving(settings, ports, run_dir)
    components = [
        *([_broker(broker, ports)] if broker.kind != "given" else []),
        ray,
        *([_mlflow(home, settings.mlflow, ports)] if settings.mlflow.enabled else []),
        serve,
        *(_worker(name, settings.metrics, ports) for name in ("shipper", "score", "watch", "ledger")),
        *([_worker("bridge", settings.metrics, ports)] if settings.bridge.enabled else []),
        *([_worker("delivery", settings.metrics, ports)] if settings.delivery.enabled else []),
        *([_worker("sentinel", settings.metrics, ports, after="serve")] if settings.sentinel.enabled else []),
        *([_intake(settings, ports)] if settings.intake.enabled else []),
        *([_trainer(settings, ports)] if settings.train.enabled else []),
    ]
    chosen = _chosen(components, only)
    _refuse_missing_broker(chosen, broker)
    _refuse_unusable_login(chosen, settings.kafka, broker)
    _refuse_shared_port(chosen, settings.metrics)
    return Plan(
        home=str(home),
        run_dir=str(run_dir),
        components=chosen,
        broker=broker.kind,
        bootstrap=settings.kafka.bootstrap_servers or _local_bootstrap(ports),
        ports=ports,
        http=settings.http.model_dump() | {"max_body_bytes": settings.largest_body_bytes},
        settings=shown_values(settings),
    )


def _chosen(components: list[Component], only: Collection[str]) -> list[Component]:
    """Return the components in `only`; remove their dependencies on other components, which run elsewhere."""
    if not only:
        return components
    known = [component.name for component in components]
    if unknown := [name for name in only if name not in known]:
        raise StackError(f"this stack has no component {', '.join(unknown)}; it has {', '.join(known)}")
    return [
        msgspec.structs.replace(component, after=[name for name in component.after if name in only or name == TOPICS])
        for component in components
        if component.name in only
    ]


def _refuse_missing_broker(components: list[Component], broker: BrokerPlan) -> None:
    waiting = [component.name for component in components if TOPICS in component.after]
    if broker.kind != "given" and waiting and components[0].name != _BROKER:
        raise StackError(
            f"{', '.join(waiting)} would wait for Kafka, and --only leaves out the broker of this stack; add --only {_BROKER}, or set"
            " WEIR_KAFKA__BOOTSTRAP_SERVERS to a broker that runs"
        )


def _refuse_unusable_login(components: list[Component], kafka: KafkaSettings, broker: BrokerPlan) -> None:
    """Raise BrokerError if the processes that use Kafka could not connect, which their logs would show only after they started."""
    if any(TOPICS in component.after for component in components):
        check_login(kafka, broker)


def _refuse_shared_port(components: list[Component], metrics: MetricsSection) -> None:
    listening = [component.name for component in components if component.health_url.endswith("/healthz")]
    if metrics.port and len(listening) > 1:
        raise StackError(
            f"metrics.port is {metrics.port}, and {', '.join(listening)} would all listen on it; unset it (WEIR_METRICS__PORT),"
            " or start one of them with --only"
        )


def _local_bootstrap(ports: dict[str, int]) -> str:
    return f"127.0.0.1:{ports['broker']}"


def _broker(broker: BrokerPlan, ports: dict[str, int]) -> Component:
    address = _local_bootstrap(ports)
    return Component(
        name=_BROKER,
        argv=[],
        environment=JAVA_ENVIRONMENT if broker.kind == "apache" else {},
        address=address,
        health_url=f"kafka://{address}",
        stop_seconds=_BROKER_STOP_SECONDS,
        niceness=_MONITORING_NICENESS,
    )


def prepare_broker(plan: Plan, broker: BrokerPlan) -> Plan:
    """Install and format the local broker, if `plan` has one, and return the plan with the broker's command; raises BrokerError."""
    first, *others = plan.components
    if broker.kind == "given" or first.name != _BROKER:
        return plan
    ports = plan.ports
    argv = broker_command(broker.kind, Path(plan.home) / "kafka", ports["broker"], ports["broker_controller"])
    return msgspec.structs.replace(plan, components=[msgspec.structs.replace(first, argv=argv), *others])


def _mlflow(home: Path, section: MlflowSection, ports: dict[str, int]) -> Component:
    port = ports["mlflow"]
    arguments = [str(home / "mlflow"), str(port), str(section.retain_hours)]
    return Component(
        name="mlflow",
        argv=[sys.executable, "-m", "weir.local.mlflow_server", *arguments],
        address=f"http://127.0.0.1:{port}",
        health_url=f"http://127.0.0.1:{port}/health",
        after=["score"],  # nothing needs it at the start, and its imports would delay the components that requests need
        ready_seconds=_READY_SECONDS["mlflow"],
        niceness=_MONITORING_NICENESS,
    )


def _serving(settings: Settings, ports: dict[str, int], run_dir: Path) -> tuple[Component, Component]:
    layout = RayLayout(run_dir, ports, http=settings.http)
    return (
        Component(
            name="ray",
            argv=layout.head_command(),
            environment=layout.environment(),
            address=layout.address,
            # The raylet's port opens last, and closes when the GCS dies.
            health_url=f"tcp://127.0.0.1:{ports['ray_node_manager']}",
            ready_seconds=_READY_SECONDS["ray"],
            metrics=f"127.0.0.1:{ports['ray_metrics_export']}",
        ),
        msgspec.structs.replace(
            _worker("serve", settings.metrics, ports),
            address=f"http://{settings.http.host}:{settings.http.port}/v1",
            ready_seconds=_READY_SECONDS["serve"] + deploy_seconds(settings.served_models().values()),
            environment=layout.driver_environment(),  # it imports while Ray starts, and waits for Ray itself
            after=[],
            niceness=0,
        ),
    )


def _intake(settings: Settings, ports: dict[str, int]) -> Component:
    return msgspec.structs.replace(
        _worker("intake", settings.metrics, ports),
        address=f"http://{in_url(settings.intake.host)}:{settings.intake.port}/intake",
        after=[],  # it writes its spool whether Kafka answers or not
        niceness=0,
    )


def _trainer(settings: Settings, ports: dict[str, int]) -> Component:
    return msgspec.structs.replace(
        _worker("trainer", settings.metrics, ports),
        stop_seconds=_TRAINER_STOP_SECONDS,
    )


def _worker(name: str, section: MetricsSection, ports: dict[str, int], *, after: str = TOPICS) -> Component:
    metrics = f"{reachable(section.host)}:{section.port or ports[name]}"
    return Component(
        name=name,
        argv=[sys.executable, "-m", "weir.component", name],
        address=f"http://{metrics}",
        health_url=f"http://{metrics}/healthz",
        after=[after],
        ready_seconds=_READY_SECONDS[name],
        metrics=metrics,
        niceness=_MONITORING_NICENESS,
    )
