"""Start a stack: check the machine, write the plan, start supervisord and the components; show the supervisor's log."""

import time
from collections.abc import Collection
from pathlib import Path

from serving.ray_local.layout import short_run_dir
from stream.count_text import count_text
from stream.files import FileLock
from weir.errors import StackError
from weir.home.api_keys import ensure_first_key, first_key_path
from weir.local import preflight
from weir.local.broker.launch import plan_broker
from weir.local.build_plan import build_plan, prepare_broker
from weir.local.create_topics import ensure_topics
from weir.local.down import clear_leftovers, take_down
from weir.local.health.health_probe import probe
from weir.local.log_tail import LogTail
from weir.local.plan import WATCHER, Plan, load_plan, log_path, save_plan, topics_pending
from weir.local.prometheus_targets import write_prometheus_targets
from weir.local.stack_state import load_supervisor, supervisor_runs
from weir.local.start_components import ComponentStarter
from weir.local.step_reporter import StepReporter
from weir.local.supervisord.start_supervisord import start_supervisord
from weir.settings import Loaded, Settings, changes_since_start
from weir.settings.detector_options import check_detector_options

_ALREADY_UP_SECONDS = 60.0
_POLL_SECONDS = 1.0
_LOG_POLL_SECONDS = 0.5


def bring_up(loaded: Loaded, reporter: StepReporter, only: Collection[str] = ()) -> tuple[Plan, bool]:
    """Start the stack, or the components in `only`; return its plan, and whether this call started the stack.

    Raises SettingsError before a process is started. If the start fails, stops all started processes and raises StackError.
    """
    check_detector_options(loaded)
    home = loaded.settings.home
    preflight.create_home(home)
    with preflight.stack_lock(home):
        if supervisor_runs(home):
            return _already_up(loaded.settings, reporter, only), False
        if ended := clear_leftovers(home):
            reporter.say(f"ended {count_text(ended, 'process', 'processes')} of an earlier run")
        for note in filter(None, (preflight.check_disk(home), preflight.check_intake(loaded.settings))):
            reporter.say(f"note: {note}")
        plan = _prepare(loaded.settings, reporter, only)
        try:
            _start(loaded, plan, reporter)
        except BaseException:  # Ctrl-C too
            reporter.say("stopping what was started")
            take_down(home, reporter)
            raise
        return plan, True


def _already_up(settings: Settings, reporter: StepReporter, only: Collection[str]) -> Plan:
    plan = load_plan(home := settings.home)
    running = [component.name for component in plan.components]
    if absent := [name for name in only if name not in running]:
        raise StackError(
            f"the running stack in {home} has no component {', '.join(absent)}; it has {', '.join(running)}. To start other "
            "components, stop the stack with `weir down` first"
        )
    deadline = time.monotonic() + _ALREADY_UP_SECONDS
    reported = False
    while unhealthy := unhealthy_components(plan):
        if time.monotonic() > deadline:
            raise StackError(
                f"the stack in {home} runs, but is not healthy after {_ALREADY_UP_SECONDS:.0f} s: {'; '.join(unhealthy)}. "
                "See `weir status`, or restart the stack: `weir down`, then `weir up`"
            )
        if not reported:
            reporter.say(f"the stack in {home} is up; waiting for: {'; '.join(unhealthy)}")
            reported = True
        time.sleep(_POLL_SECONDS)
    reporter.say(f"the stack in {home} is already up and healthy")
    if note := changes_since_start(plan.settings, settings):
        reporter.say(f"note: {note}")
    return plan


def unhealthy_components(plan: Plan) -> list[str]:
    """Return ``name: reason`` of every unhealthy component."""
    answers = [(component.name, probe(component.health_url)) for component in plan.components]
    return [f"{name}: {health.detail}" for name, health in answers if not health.ok]


def _prepare(settings: Settings, reporter: StepReporter, only: Collection[str]) -> Plan:
    home = settings.home
    serves = not only or "serve" in only
    if serves:
        preflight.check_environment()
        preflight.check_http_port(settings)
    ports, moved = preflight.stack_ports(home)
    broker = plan_broker(settings.kafka, home)
    plan = build_plan(settings, broker, ports, short_run_dir(home), only)
    if serves and ensure_first_key(home):
        reporter.say(f"created the first API key, for tenant default: {first_key_path(home)}")
    if moved:
        reporter.say(f"ports in use by another process, replaced: {', '.join(moved)} (see {home}/ports.json)")
    with reporter.steps(1 + serves * len(settings.served_models())) as steps:
        if serves:
            for name, model in settings.served_models().items():
                steps.begin("model", f"{name}: looking for the weights")
                files = preflight.ensure_model(name, model, lambda what, share: steps.waiting("model", what, share))
                where = (
                    f"{files.version}, from {files.source}" if files else f"{model.engine} {model.base_url}".rstrip()
                )
                steps.ready("model", f"{name}, {where}")
        steps.begin("kafka", f"preparing: {broker.kind}")
        plan = prepare_broker(plan, broker)
        steps.ready("kafka", plan.kafka)
    if broker.notice and plan.kafka != "elsewhere":
        reporter.say(f"note: {broker.notice}")
    save_plan(plan)
    write_prometheus_targets(home, plan)
    return plan


def _start(loaded: Loaded, plan: Plan, reporter: StepReporter) -> None:
    settings = loaded.settings
    supervisord = start_supervisord(plan, loaded.config_path)

    def create_topics() -> str:
        created, note = ensure_topics(settings, plan.broker, plan.bootstrap)
        if note:
            reporter.say(f"note: {note}")
        return f"created {len(created)}: {', '.join(created)}" if created else "all exist"

    starter = ComponentStarter(plan, supervisord, reporter, create_topics)
    with reporter.steps(starter.steps):
        starter.run()
    pending = topics_pending(settings.home)
    pending.unlink(missing_ok=True)
    if starter.without_kafka:
        pending.touch()


def follow_log(plan: Plan, reporter: StepReporter) -> None:
    """Show the supervisor's log until ``weir down`` stops the stack or KeyboardInterrupt is raised.

    Raises StackError if supervisord ended by itself; the remaining processes of the stack are then ended.
    """
    home = Path(plan.home)
    log = LogTail(log_path(home, WATCHER))
    while supervisor_runs(home):
        for line in log.new_lines():
            reporter.say(line)
        time.sleep(_LOG_POLL_SECONDS)
    with FileLock.acquire(preflight.lock_path(home)):  # `weir down` deletes the record before it releases the lock
        if load_supervisor(home) is not None and not supervisor_runs(home):
            clear_leftovers(home)
            raise StackError(
                f"supervisord of the stack in {home} ended by itself, so the stack is down; the kernel kills a process if memory is "
                f"exhausted. See {log_path(home, 'supervisord')}, then run `weir up`"
            )
    reporter.say("the stack was stopped")
