"""The processes of a stack, by name: ``python -m weir.component NAME``.

:mod:`weir.component.process` sets up each process. On SIGTERM or SIGINT, a process acknowledges the finished records and ends.
"""

import logging
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from serving.errors import DriverError, ServingError
from stream.json_log import log_json
from stream.telemetry import Pages
from stream.wire.errors import StreamError
from weir.client import effective_kafka
from weir.component.process import Process, run_async, running, trace_settings
from weir.errors import SettingsError, WeirError

if TYPE_CHECKING:
    from stream.runtime.app import BaseApp

_FAILED = 2


def _shipper(process: Process) -> int:
    from serving.capture.shipper import Shipper

    kafka = effective_kafka(process.settings)
    shipper = Shipper(
        process.home / "spool",
        kafka.client_options(),
        names=kafka.names,
        partitions=kafka.partitions,
        registry=process.registry,
        tracer_provider=process.tracer,
    )
    return run_async(process, shipper.run)


def _ledger(process: Process) -> int:
    from stream.ledger.service import run_ledger
    from stream.settings import cached_tenant_settings
    from weir.console.server import served

    work = partial(
        run_ledger,
        directory=process.home / "ledger",
        kafka=effective_kafka(process.settings),
        ledger=process.settings.ledger,
        tenants=cached_tenant_settings(process.settings.tenants),
        registry=process.registry,
        tracer_provider=process.tracer,
        health=process.health,
    )
    with served(process.settings, process.health):
        return run_async(process, work)


def _bridge(process: Process) -> int:
    from stream.bridge.service import run_bridge
    from weir.operate.trace_links import trace_page

    settings = process.settings
    if not settings.bridge.enabled:
        raise SettingsError("the bridge has no receiver; set bridge.alertmanagers or a [bridge.webhooks.NAME]")
    trace_url = settings.bridge.trace_url or trace_page(settings)
    work = partial(
        run_bridge,
        kafka=effective_kafka(settings),
        bridge=settings.bridge.model_copy(update={"trace_url": trace_url}),
        registry=process.registry,
        health=process.health,
    )
    return run_async(process, work)


def _delivery(process: Process) -> int:
    from stream.loop.delivery.agent import run_delivery
    from weir.operate.mlflow_address import use_mlflow

    champions = [sys.executable, "-m", "stream.loop.training.mlflow_champions"]
    mlflow = use_mlflow(process.settings, process.ports)
    work = partial(
        run_delivery,
        home=process.home,
        kafka=effective_kafka(process.settings),
        tenants=process.settings.tenants,
        registry=process.registry,
        tracer_provider=process.tracer,
        champion_command=(lambda changes: [*champions, changes]) if mlflow else None,
        health=process.health,
    )
    return run_async(process, work)


def _serve(process: Process) -> int:
    from serving.driver import end_without_ray, run_driver
    from serving.ray_local.layout import RayLayout
    from weir.application import application_args
    from weir.local.plan import load_plan
    from weir.local.preflight import ensure_models

    settings = process.settings
    layout = RayLayout(Path(load_plan(process.home).run_dir), process.ports, http=settings.http)
    args = application_args(
        settings,
        trace_settings(settings, process.ports),
        model_dirs=ensure_models(settings, lambda _what, _share: None),
        edge_token_path=str(layout.edge_token_path),
    )
    try:
        return run_async(process, partial(run_driver, args, layout=layout, http=settings.http, health=process.health))
    except DriverError as error:
        end_without_ray(error)


def _score(process: Process) -> int:
    from stream.stages.score_app import create_app
    from weir.home.compute import decided, save_decision

    save_decision(process.settings)
    settings = decided(process.settings)
    app = create_app(
        effective_kafka(settings),
        settings.detectors,
        settings.score,
        settings.tenants,
        data_dir=process.data_dir,
        registry=process.registry,
        tracer_provider=process.tracer,
    )
    return _run_app(process, app)


def _watch(process: Process) -> int:
    from stream.stages.watch_app import create_app

    settings = process.settings
    app = create_app(
        effective_kafka(settings),
        settings.watch,
        settings.tenants,
        data_dir=process.data_dir,
        registry=process.registry,
        tracer_provider=process.tracer,
    )
    return _run_app(process, app)


def _run_app(process: Process, app: "BaseApp") -> int:
    from stream.runtime.worker import run

    process.checks.append(app.health)
    process.health.pop("start", None)
    return run(app)


def _sentinel(process: Process) -> int:
    from weir.home.api_keys import ensure_own_key
    from weir.sentinel.client import SentinelClient, endpoint
    from weir.sentinel.pairs import PAIRS

    settings = process.settings
    sentinel = SentinelClient(
        endpoint(settings.http.host, settings.http.port),
        settings.first_model,
        ensure_own_key(process.home),
        every_seconds=settings.sentinel.every_seconds,
        max_tokens=settings.sentinel.max_tokens,
        pairs=PAIRS if settings.sentinel.bias else (),
        pairs_every_seconds=settings.sentinel.bias_every_seconds,
        pairs_max_tokens=settings.sentinel.bias_max_tokens,
        registry=process.registry,
    )
    return run_async(process, sentinel.run)


def _intake(process: Process) -> int:
    from serving.inference_records import ExpectedVerdicts
    from serving.intake.server import run_intake

    settings = process.settings
    detectors = settings.detectors
    work = partial(
        run_intake,
        home=process.home,
        settings=settings.intake,
        capture=settings.capture,
        expected=ExpectedVerdicts(
            input=detectors.input, output=detectors.output, context_characters=detectors.context_characters
        ),
        registry=process.registry,
        tracer_provider=process.tracer,
        health=process.health,
    )
    return run_async(process, work)


def _trainer(process: Process) -> int:
    from stream.loop.training.agent import run_trainer
    from weir.operate.trainer_setup import trainer_setup

    work = partial(
        run_trainer,
        kafka=effective_kafka(process.settings),
        setup=trainer_setup(process.settings, process.ports, process.tracer.get_tracer("weir.trainer")),
        registry=process.registry,
        health=process.health,
    )
    return run_async(process, work)


COMPONENTS: dict[str, Callable[[Process], int]] = {
    "serve": _serve,
    "shipper": _shipper,
    "score": _score,
    "watch": _watch,
    "ledger": _ledger,
    "bridge": _bridge,
    "delivery": _delivery,
    "sentinel": _sentinel,
    "intake": _intake,
    "trainer": _trainer,
}


def _pages(process: Process) -> Pages | None:
    """Return the additional pages of the process's metrics port, or None.

    Only ``serve`` has such pages: the metrics of the gateways and replicas on its node.
    """
    if process.name != "serve":
        return None
    from weir.component.node_metrics import NodeMetrics
    from weir.local.plan import load_plan
    from weir.local.prometheus_targets import stack_targets

    plan = load_plan(process.home)
    return NodeMetrics(
        lambda: [target for target in stack_targets(process.home, plan) if target.name != process.name]
    ).page


def main(arguments: list[str] | None = None) -> int:
    """Run the component that `arguments` names and return its exit status."""
    names = sys.argv[1:] if arguments is None else arguments
    log_json(logging.StreamHandler(sys.stderr))
    try:
        if len(names) != 1 or names[0] not in COMPONENTS:
            raise SettingsError(f"unknown component {' '.join(names)!r}; choose one of {', '.join(COMPONENTS)}")
        with running(names[0], _pages) as process:
            return COMPONENTS[names[0]](process)
    except (WeirError, StreamError, ServingError) as error:
        logging.getLogger("weir").error("%s", error)  # noqa: TRY400 - an expected error needs no traceback
        return _FAILED
